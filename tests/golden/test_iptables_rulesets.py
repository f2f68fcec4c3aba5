"""The scenarios compiled for iptables-legacy. `DOCKERV6_UPDATE_GOLDEN=1` rewrites the files; review the difference."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockerv6.firewall.iptables import ownership
from dockerv6.firewall.iptables.compile import compile_ruleset
from dockerv6.firewall.model import FirewallIntent
from dockerv6.firewall.render import render
from tests.golden.scenarios import SCENARIOS

FOLDER = Path(__file__).parent / "iptables"


def named(intent: FirewallIntent) -> FirewallIntent:
    """The intent with its own bridges named, since xtables can't match on a link's kind."""
    if intent.guest_bridges is not None:
        return intent
    return replace(intent, guest_bridges=tuple(sorted({network.bridge for network in intent.networks})))


def lines(intent: FirewallIntent) -> Iterator[str]:
    """Chains and rules, then the ownership records."""
    ruleset = render(named(intent))
    if not ruleset.exists:
        return
    for table in compile_ruleset(ruleset):
        yield from table.lines()
    yield from (f"-A {ownership.CHAIN} {rule}" for rule in ownership.compile_records(ruleset, intent.mark).rules)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_chains_of_an_intent(name: str) -> None:
    path = FOLDER / f"{name}.txt"
    text = "".join(f"{line}\n" for line in lines(SCENARIOS[name]))
    if os.environ.get("DOCKERV6_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: if that is meant, run with DOCKERV6_UPDATE_GOLDEN=1"


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.txt" for name in SCENARIOS}
