_dockerv6_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" word prefix type value
    local -a words
    # bash divides words at = and : too, but replaces only the last part
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word="${words[${#words[@]} - 1]}"
    prefix="${word%"${word##*[=:]}"}"
    COMPREPLY=()
    while IFS=',' read -r type value; do
        if [[ $type == 'dir' ]]; then
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            [[ $value == *[=./] ]] && compopt -o nospace
            COMPREPLY+=("${value#"$prefix"}")
        fi
    done < <(env COMP_WORDS="$line" COMP_CWORD=$((${#words[@]} - 1)) _DOCKERV6_COMPLETE=bash_complete "$1")
    return 0
}

complete -o nosort -F _dockerv6_completion dockerv6
