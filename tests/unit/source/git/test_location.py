from pathlib import Path

import pytest

from dockerv6.source.git.location import (
    CredentialFile,
    GitLocation,
    check_scopes,
    git_sources,
    parse_credential_file,
    parse_git_location,
    parse_git_path,
    parse_git_ref,
    parse_ssh_path,
    redacted,
)


@pytest.mark.parametrize(
    ("text", "expected", "scheme", "host"),
    [
        (
            "https://example.org/acme/networks.git",
            ("https://example.org/acme/networks.git", "", ""),
            "https",
            "example.org",
        ),
        (
            "https://bot@example.org:8443/n#main:a/b/",
            ("https://bot@example.org:8443/n", "main", "a/b"),
            "https",
            "example.org:8443",
        ),
        ("git@example.org:acme/n.git#v1", ("git@example.org:acme/n.git", "v1", ""), "ssh", "example.org"),
        ("ssh://git@[2001:db8::1]:22/n.git", ("ssh://git@[2001:db8::1]:22/n.git", "", ""), "ssh", "[2001:db8::1]:22"),
        ("/srv/git/n.git#feature#1", ("file:///srv/git/n.git", "feature#1", ""), "file", ""),
        ("file:///srv/n#:web1", ("file:///srv/n", "", "web1"), "file", ""),
    ],
)
def test_locations(text: str, expected: tuple[str, str, str], scheme: str, host: str) -> None:
    location = parse_git_location(text)
    assert (location.url, location.ref, location.path) == expected
    assert (location.scheme, location.host) == (scheme, host)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://example.org/n.git", "http is not used"),
        ("git://example.org/n.git", "git is not used"),
        ("ext::sh -c x", "space"),
        ("ext::sh", "not the URL"),
        ("--upload-pack=x", "not the URL"),
        ("ssh://-oProxyCommand=x/n", "not the URL"),
        ("-oProxyCommand=x:n", "not the URL"),
        ("https:///n", "has no host"),
        ("file://example.org/n", "has a host"),
        ("n.git", "not the URL"),
        ("https://example.org/a\nb", "control character"),
        ("", "not the URL"),
        ("https://example.org/n#-x", "is not the name of a branch"),
        ("https://example.org/n#a..b", "is not the name of a branch"),
        ("https://example.org/n#a b", "is not the name of a branch"),
        ("https://example.org/n#main:../x", "is not a path in the repository"),
    ],
)
def test_what_is_no_location_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_git_location(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://me:s3cr3t@example.org/n",
        "https://me:s3c/s3cr3t@example.org/n",
        "https://me:a@s3cr3t@example.org/n",
        "https://:s3cr3t@example.org/n",
        "htps://me:s3cr3t@example.org/n",
        "ssh://me:s3cr3t@example.org/n",
        "https://me:s3cr3t @example.org/n",
        "https://me:pa#s3cr3t@example.org/n",
        "https://me:s3cr3t#pa@example.org/n",
    ],
)
def test_no_message_has_a_password(text: str) -> None:
    with pytest.raises(ValueError, match=r"example\.org") as refused:
        parse_git_location(text)
    assert "s3cr3t" not in str(refused.value)
    assert "s3cr3t" not in redacted(text)


@pytest.mark.parametrize("ref", ["main", "refs/heads/main", "feature/x-1", "v1.0", "0" * 40, ""])
def test_refs(ref: str) -> None:
    assert parse_git_ref(ref) == ref


@pytest.mark.parametrize("ref", ["-x", "a..b", "a~1", "a^", "a:b", "a.lock", "/a", "a/", "a//b", "a@{1}", "a b", "*"])
def test_names_that_no_ref_can_have(ref: str) -> None:
    with pytest.raises(ValueError, match="is not the name"):
        parse_git_ref(ref)


def test_paths() -> None:
    assert [parse_git_path(text) for text in ("", ".", "./a//b/", "/a")] == ["", "", "a/b", "a"]


def test_defaults_are_for_locations_that_name_none_and_equal_ones_count_once() -> None:
    written = [parse_git_location(text) for text in ("/a", "/a#prod:x", "/a#main:hosts", "/a#other")]
    found = [each.location for each in git_sources(written, Path("/state"), GitLocation("", "main", "hosts"))]
    assert list(map(str, found)) == ["file:///a#main:hosts", "file:///a#prod:x", "file:///a#other:hosts"]


def test_a_credential_goes_to_the_hosts_that_it_is_for() -> None:
    tokens = [parse_credential_file(text) for text in ("a.example=/a", "a.example/team/x=/x", "b.example=/b")]
    urls = ("https://a.example/team/x.git", "https://a.example/team/xy", "https://b.example/n", "https://c.example/n")
    keys = [CredentialFile("/k")]
    sources = git_sources(
        [*map(parse_git_location, urls), parse_git_location("git@a.example:team/x.git")],
        Path("/s"),
        GitLocation(""),
        tokens,
        keys,
    )
    assert [each.token_file for each in sources] == ["/x", "/a", "/b", "", ""]
    assert [each.key_file for each in sources] == ["", "", "", "", "/k"]


@pytest.mark.parametrize(("other", "unscoped"), [("https://a.example/m", False), ("https://b.example/m", True)])
def test_a_token_without_a_scope_is_for_one_host_only(other: str, *, unscoped: bool) -> None:
    urls = ("https://a.example/n", other, "git@c.example:n")
    sources = git_sources(map(parse_git_location, urls), Path("/s"), GitLocation(""), [CredentialFile("/t")])
    assert [each.unscoped_token for each in sources] == [unscoped, unscoped, False]
    assert [each.token_file for each in sources] == [*(["", ""] if unscoped else ["/t", "/t"]), ""]


@pytest.mark.parametrize("text", ["", "a="])
def test_a_credential_without_a_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no file"):
        parse_credential_file(text)


@pytest.mark.parametrize(
    "token",
    [
        "ghp_s3cr3t0123456789",
        "github_pat_s3cr3t",
        "ghs_s3cr3t",
        "glpat-s3cr3t0123456789xyz",
        "0123456789abcdef0123456789abcdef01234567",
        "s3cr3t" * 9,
    ],
)
@pytest.mark.parametrize("end", ["", "#main:hosts"])
def test_a_token_in_place_of_a_user_is_refused_and_not_printed(token: str, end: str) -> None:
    with pytest.raises(ValueError, match="has a token in place of a user") as refused:
        parse_git_location(f"https://{token}@example.org/n{end}")
    assert token not in str(refused.value)


@pytest.mark.parametrize("user", ["bot", "oauth2", "x-access-token", "gitlab+deploy-token-1234567", "glenn-smith"])
def test_the_user_of_https_is_used_and_not_shown(user: str) -> None:
    location = parse_git_location(f"https://{user}@example.org/n#main")
    assert location.user == user
    assert str(location) == "https://***@example.org/n#main"
    assert location.directory_name != parse_git_location("https://other@example.org/n#main").directory_name


@pytest.mark.parametrize(
    ("url", "scope", "fits"),
    [
        ("https://a.example/team/x.git", "a.example/team/x.git", True),
        ("https://a.example/team/x", "a.example/team/x.git", True),
        ("https://a.example/team/x.git", "a.example/team/x/", True),
        ("https://A.Example/team/x", "a.example", True),
        ("https://a.example/team/x", "A.EXAMPLE/team", True),
        ("https://a.example:443/x", "a.example", True),
        ("https://a.example/x", "a.example:443", True),
        ("https://a.example:8443/x", "a.example", True),
        ("https://a.example:8443/x", "a.example:8443/x", True),
        ("https://a.example:8443/x", "a.example:443", False),
        ("https://a.example/x", "a.example:8443", False),
        ("https://a.example/team/xy", "a.example/team/x", False),
        ("https://a.example/Team/x", "a.example/team", False),
        ("https://aa.example/x", "a.example", False),
        ("ssh://git@a.example:22/x", "a.example", True),
        ("ssh://git@[2001:db8::1]:2222/x", "[2001:db8::1]", True),
        ("ssh://git@[2001:db8::1]/x", "[2001:DB8::1]:22", True),
        ("git@a.example:team/x.git", "a.example:22/team", True),
        ("git@a.example:team/x.git", "a.example:443", False),
    ],
)
def test_scopes(url: str, scope: str, *, fits: bool) -> None:
    location = parse_git_location(url)
    assert location.in_scope(scope) is fits
    files = [CredentialFile("/f", scope)]
    tokens, keys = (files, []) if location.scheme == "https" else ([], files)
    if fits:
        check_scopes([location], tokens, keys)
        return
    with pytest.raises(ValueError, match="fits no"):
        check_scopes([location], tokens, keys)


def test_a_scope_of_the_other_transport_fits_no_repository() -> None:
    location = parse_git_location("git@a.example:n")
    with pytest.raises(ValueError, match=r"--git-token-file: a\.example fits no https repository of --git \(none\)"):
        check_scopes([location], [CredentialFile("/t", "a.example")], [])
    check_scopes([], [CredentialFile("/t", "a.example")], [])


@pytest.mark.parametrize("text", ['/a"b', "/a\\b", "/${HOME}/key", "/a\nb", "a.example=/x\\"])
def test_a_file_that_ssh_would_read_otherwise_is_refused(text: str) -> None:
    for parse in (parse_credential_file, parse_ssh_path):
        with pytest.raises(ValueError, match="names no file that ssh can read"):
            parse(text)
    assert parse_ssh_path("/a $b%h") == "/a $b%h"
