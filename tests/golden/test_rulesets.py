"""Rulesets of the scenarios for nftables and iptables-legacy, and changes of them; see `tests.golden.files`."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.iptables import ownership
from dockerv6.firewall.iptables.compile import compile_ruleset
from dockerv6.firewall.model import FirewallIntent
from dockerv6.firewall.nftables.commands import commands
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.lib.networking import EgressMode
from tests.golden.files import GOLDEN, check, lines_of
from tests.golden.scenarios import SCENARIOS, with_guest_bridges
from tests.unit.firewall.intents import BLOG, HOME, WEB, intent

FOLDER = GOLDEN / "rulesets"
IPTABLES = GOLDEN / "iptables"
CHANGES = {
    "first-network": diff(render(SCENARIOS["one-network"]), EMPTY),
    "second-network": diff(render(SCENARIOS["several"]), render(SCENARIOS["one-network"])),
    "network-removed": diff(render(SCENARIOS["one-network"]), render(SCENARIOS["several"])),
    "network-kept": diff(render(intent(BLOG)), render(SCENARIOS["several"]), frozenset({"shop"})),
    "port-published": diff(render(SCENARIOS["published"]), render(SCENARIOS["one-network"])),
    "port-moved": diff(render(intent(BLOG, ports=(replace(WEB, target_port=81),))), render(SCENARIOS["published"])),
    "port-guarded": diff(
        render(intent(BLOG, ports=(replace(WEB, sources=(IPv6Network("2001:db8:7::/48"),)),))),
        render(SCENARIOS["published"]),
    ),
    "external-changed": diff(
        render(intent(replace(HOME, external_prefixes=(IPv6Network("2001:db8:8:9::/64"), *HOME.external_prefixes)))),
        render(SCENARIOS["egress-prefix"]),
    ),
    "mode-changed": diff(render(intent(replace(HOME, egress=EgressMode.ROUTED))), render(SCENARIOS["egress-prefix"])),
    "last-network": diff(EMPTY, render(SCENARIOS["one-network"])),
}


def iptables_lines(intent: FirewallIntent) -> Iterator[str]:
    """Chains and rules, then the ownership records."""
    ruleset = render(with_guest_bridges(intent))
    if not ruleset.exists:
        return
    for table in compile_ruleset(ruleset):
        yield from table.lines()
    yield from (f"-A {ownership.CHAIN} {rule}" for rule in ownership.compile_records(ruleset, intent.mark).rules)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_ruleset_of_a_scenario(name: str) -> None:
    check(FOLDER / f"{name}.txt", lines_of(render(SCENARIOS[name]).lines()))


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_iptables_chains_of_a_scenario(name: str) -> None:
    check(IPTABLES / f"{name}.txt", lines_of(iptables_lines(SCENARIOS[name])))


@pytest.mark.parametrize("name", CHANGES)
def test_the_description_of_a_change(name: str) -> None:
    check(FOLDER / f"change-{name}.txt", lines_of(CHANGES[name].describe()))


def test_the_transaction_of_a_first_network() -> None:
    written = commands(CHANGES["first-network"].operations)
    check(FOLDER / "transaction-first-network.txt", lines_of(each.purpose for each in written))


def test_every_golden_file_is_used() -> None:
    scenarios = {f"{name}.txt" for name in SCENARIOS}
    changes = {f"change-{name}.txt" for name in CHANGES}
    assert {path.name for path in FOLDER.iterdir()} == {*scenarios, *changes, "transaction-first-network.txt"}
    assert {path.name for path in IPTABLES.iterdir()} == scenarios
