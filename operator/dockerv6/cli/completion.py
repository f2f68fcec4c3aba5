"""Shell completion: click's, with values that follow ``=``, such as ``--for=condition=Ready``.

Imported only by the command ``completion``, and by a shell that asks for completions: importing it replaces click's
classes.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

if TYPE_CHECKING:
    Item = CompletionItem[Any]
else:
    Item = CompletionItem

VARIABLE = "_DOCKERV6_COMPLETE"
"""The environment variable by which a shell asks for completions."""

_BASH = r"""%(complete_func)s() {
    local line="${COMP_LINE:0:COMP_POINT}" word prefix type value
    local -a words
    # bash divides words at = and : too, but replaces only the last part
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word="${words[${#words[@]} - 1]}"
    prefix="${word%%"${word##*[=:]}"}"
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
    done < <(env COMP_WORDS="$line" COMP_CWORD=$((${#words[@]} - 1)) %(complete_var)s=bash_complete "$1")
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _WholeWords(ShellComplete):
    """Gives the whole word that is completed, also if it is an option with its value: shells compare with that."""

    def get_completions(self, args: list[str], incomplete: str) -> list[Item]:
        """The completions of a word."""
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if not equals or not option.startswith("-"):
            return found
        return [CompletionItem(f"{option}={item.value}", item.type, item.help) for item in found]


class _Bash(_WholeWords, BashComplete):
    source_template: ClassVar[str] = _BASH


class _Zsh(_WholeWords, ZshComplete):
    pass


class _Fish(_WholeWords, FishComplete):
    pass


CLASSES = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}

for _name, _class in CLASSES.items():
    add_completion_class(_class, _name)
