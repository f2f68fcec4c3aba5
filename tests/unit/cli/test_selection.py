from collections.abc import Mapping

import click
import pytest

from dockerv6.cli.main import main
from dockerv6.cli.selection import full_name, parse_references, parse_selector, short_name
from tests.unit.cli.harness import Daemon, stored


def select(*words: str) -> list[tuple[str, str | None]]:
    return [(ref.info.kind, ref.name) for ref in parse_references(words)]


def test_a_kind_alone_selects_all_of_the_kind() -> None:
    assert select("v6net") == [("IPv6Network", None)]


def test_names_follow_their_kind() -> None:
    assert select("ipv6networks", "a", "b") == [("IPv6Network", "a"), ("IPv6Network", "b")]


def test_kinds_may_be_mixed_with_slashes_and_carry_their_group() -> None:
    assert select("ipv6network.dockerv6.io/a", "v6pool/b") == [("IPv6Network", "a"), ("IPv6Pool", "b")]


def test_all_selects_every_kind() -> None:
    assert select("ALL") == [("IPv6Network", None), ("IPv6Pool", None), ("IPv6Policy", None)]


@pytest.mark.parametrize("words", [("all", "x"), ("v6net", "v6net/x"), ("v6net/a", "b"), ("v6net/",), ("v6net/a/b",)])
def test_other_mixtures_are_wrong_usage(words: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        parse_references(words)


def test_an_unknown_kind_has_a_suggestion() -> None:
    with pytest.raises(click.BadParameter, match="no kind 'ipv6netwroks'; did you mean ipv6networks"):
        parse_references(["ipv6netwroks"])


def test_printed_names_include_the_kind() -> None:
    assert short_name("IPv6Pool", "p") == "ipv6pool/p"
    assert full_name("IPv6Pool", "p") == "ipv6pool.dockerv6.io/p"
    assert short_name("Host", "garbage") == "host/garbage"


LABELS = {"app": "blog", "tier": "web", "example.com/team": "x"}


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("app=blog", LABELS, True),
        ("app==blog,tier=web", LABELS, True),
        ("app=blog,tier=db", LABELS, False),
        ("app!=blog", LABELS, False),
        ("app!=blog", {}, True),
        ("app", LABELS, True),
        ("!app", LABELS, False),
        ("! app", {}, True),
        ("tier in (web, db)", LABELS, True),
        ("tier notin (web,db),app", LABELS, False),
        ("tier notin (web,db)", {}, True),
        ("example.com/team=x", LABELS, True),
        ("app=", {"app": ""}, True),
    ],
)
def test_selectors_have_the_syntax_of_kubectl(text: str, labels: Mapping[str, str], matches: bool) -> None:  # noqa: FBT001
    assert parse_selector(text)(labels) is matches


@pytest.mark.parametrize("text", ["a=b=c", "=x", "a in b", "a b", "in (x)"])
def test_an_invalid_selector_is_wrong_usage(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not a label selector"):
        parse_selector(text)


def complete(words: list[str], incomplete: str) -> list[str]:
    from click.shell_completion import ShellComplete  # noqa: PLC0415 - the private API of no one else

    found = ShellComplete(main, {}, "dockerv6", "_DOCKERV6_COMPLETE").get_completions(words, incomplete)
    return [item.value for item in found]


def test_a_shell_completes_kinds_and_names(daemon: Daemon) -> None:
    daemon.accept(stored("blog"), stored("shop"), stored("default", "IPv6Pool"))
    assert complete(["get"], "ipv6n") == ["ipv6networks"]
    assert complete(["get", "v6net"], "b") == ["blog"]
    assert complete(["wait"], "v6net/s") == ["v6net/shop"]
    assert complete(["get", "nonsense"], "") == []
    assert complete(["doctor", "--explain"], "routec") == ["RouteConflict"]


def test_without_a_state_a_shell_completes_kinds_only(daemon: Daemon) -> None:
    assert complete(["get", "v6net"], "") == []
    assert daemon.file.exists() is False
