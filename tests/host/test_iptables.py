"""The iptables backend on a real kernel: damage is detected and repaired, and rules of others stay."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.iptables.backend import IptablesFirewall
from dockerv6.firewall.iptables.compile import compile_ruleset
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.port import FirewallBusy, FirewallRejected, FirewallUnavailable, RulesetMoved
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.firewall.xtables import legacy, libiptc
from dockerv6.lib.networking import InterfaceName, TransportProtocol
from tests.host.xtables import disturb_commits
from tests.unit.firewall.intents import BLOG, EVERYTHING, HOME, WEB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from dockerv6.firewall.ruleset import Ruleset

pytestmark = pytest.mark.usefixtures("private_netns")

GUESTS = ("br-blog", "br-open", "br-plain", "br-shop", "br-vault", "virbr0")
DESIRED = render(replace(EVERYTHING, guest_bridges=GUESTS))
SMALL = render(FirewallIntent((BLOG,), ports=(WEB,), guest_bridges=("br-blog",)))

JUMP = ("-m", "comment", "--comment", "dockerv6: forward", "-j", "DOCKERV6-FORWARD")
DAMAGES = {
    "mangle flushed": ["mangle -F"],
    "nat flushed": ["nat -F"],
    "everything gone": ["mangle -F", "mangle -X", "nat -F", "nat -X"],
    "built-in chain flushed": ["nat -F POSTROUTING"],
    "chain flushed": ["mangle -F DOCKERV6-WITHIN"],
    "rule deleted": ["mangle -D DOCKERV6-FORWARD 1"],
    "rule edited": ["nat -R DOCKERV6-POSTROUTING 1 -j ACCEPT"],
    "rule added": ["mangle -I DOCKERV6-OUTBOUND -j DROP"],
    "rules in another order": ["mangle -D DOCKERV6-INBOUND 1", "mangle -A DOCKERV6-INBOUND -j RETURN"],
    "rule of a resource deleted": ["nat -D DOCKERV6-PREFIX_IN 1"],
    "rule of a resource edited": ["nat -R DOCKERV6-PREFIX_OUT 1 -s fd12:3456:789a:8::/64 -j NETMAP --to 2001:db8::/64"],
    "chain added": ["mangle -N DOCKERV6-MINE", "mangle -A DOCKERV6-MINE -j ACCEPT"],
    "chain added, and reached": ["nat -N DOCKERV6-MINE", "nat -A OUTPUT -j DOCKERV6-MINE"],
    "jump in a chain of others": ["mangle -N OTHERS", "mangle -A OTHERS -j DOCKERV6-WITHIN"],
    "jump in another built-in chain": ["mangle -A INPUT -j DOCKERV6-FORWARD"],
    "jump doubled": ["nat -A PREROUTING -j DOCKERV6-PREROUTING"],
    "jump without its comment": ["nat -R PREROUTING 1 -j DOCKERV6-PREROUTING"],
    "jump not the first": ["mangle -I FORWARD -j MARK --set-mark 7"],
    "ledger flushed": ["mangle -F DOCKERV6-LEDGER"],
    "ledger's line deleted": ["mangle -D DOCKERV6-LEDGER 3"],
    "ledger's first line deleted": ["mangle -D DOCKERV6-LEDGER 1"],
    "ledger's line doubled": [
        "mangle -A DOCKERV6-LEDGER -m comment --comment dockerv6_ledger_blog_own_bridge=br-x,br-x",
    ],
    "nonsense in the ledger": ["mangle -A DOCKERV6-LEDGER -m comment --comment nonsense"],
}


@pytest.fixture
async def firewall() -> AsyncIterator[IptablesFirewall]:
    made = IptablesFirewall()
    yield made
    await made.close()


def ip6tables(*arguments: str, table: str = "filter", **environment: str) -> None:
    done = subprocess.run(
        ["ip6tables-legacy", "-w", "-t", table, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr


def saved(table: str) -> list[str]:
    """Chains and rules as `ip6tables-save` shows them, without counters and comments."""
    done = subprocess.run(["ip6tables-legacy-save", "-t", table], capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    return [line.rpartition(" ")[0] if line.startswith(":") else line for line in lines]


def counted(chain: str) -> str:
    """The counters of the first rule of a built-in chain of mangle."""
    argv = ["ip6tables-legacy-save", "-c", "-t", "mangle"]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return next(line.partition(" ")[0] for line in listed.splitlines() if f"-A {chain} " in line)


def ping() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ping", "-6", "-q", "-c", "3", "-i", "0.01", "::1"], check=True, capture_output=True)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damage_is_detected_and_repaired(firewall: IptablesFirewall, damage: str) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    before = await firewall.poll_revision()
    for command in DAMAGES[damage]:
        table, *arguments = command.split()
        ip6tables(*arguments, table=table)
    assert await firewall.poll_revision() != before
    change = diff(DESIRED, await firewall.observe())
    assert not change.empty
    assert await firewall.apply(change) == DESIRED
    assert diff(DESIRED, await firewall.observe()).empty


async def test_ip6tables_save_shows_the_compiled_rules(firewall: IptablesFirewall) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    for table in compile_ruleset(DESIRED):
        shown = [line for line in saved(table.name) if line.startswith("-A ") and "DOCKERV6-LEDGER" not in line]
        assert sorted(shown) == sorted(line for line in table.lines() if line.startswith("-A "))
        for chain in table.chains:
            assert [line for line in shown if line.startswith(f"-A {chain.name} ")] == [
                f"-A {chain.name} {rule}" for rule in chain.rules
            ]


async def test_rules_of_others_stay_and_ours_come_first(firewall: IptablesFirewall) -> None:
    ip6tables("-N", "DOCKER", table="nat")
    ip6tables("-A", "PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "DOCKER", table="nat")
    ip6tables("-A", "POSTROUTING", "-s", "fd00::/64", "-j", "MASQUERADE", table="nat")
    ip6tables("-P", "FORWARD", "DROP", table="mangle")
    ip6tables("-A", "FORWARD", "-p", "tcp", "-j", "ACCEPT", table="mangle")
    before = [saved("nat"), saved("mangle")]
    await firewall.apply(diff(DESIRED, EMPTY))
    rules = [line for line in saved("nat") if line.startswith("-A PREROUTING")]
    assert "DOCKERV6-PREROUTING" in rules[0]
    assert rules[1:] == [line for line in before[0] if line.startswith("-A PREROUTING")]
    await firewall.sweep()
    assert [saved("nat"), saved("mangle")] == before


async def test_jumps_return_above_rules_that_an_engine_inserts(firewall: IptablesFirewall) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    ip6tables("-I", "POSTROUTING", "-s", "fd12:3456:789a:2::/64", "!", "-o", "br-shop", "-j", "MASQUERADE", table="nat")
    change = diff(DESIRED, await firewall.observe())
    assert change.owners == {""}
    await firewall.apply(change)
    rules = [line for line in saved("nat") if line.startswith("-A POSTROUTING")]
    assert [("DOCKERV6-POSTROUTING" in rule) for rule in rules] == [True, False]


async def test_nothing_is_written_when_nothing_differs(firewall: IptablesFirewall) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    number = await firewall.poll_revision()
    again = IptablesFirewall()  # as after a restart: no memory
    change = diff(DESIRED, await again.observe())
    assert change.empty
    assert await again.apply(change) == DESIRED
    await again.close()
    assert await firewall.poll_revision() == number


async def test_counted_packets_are_no_change(firewall: IptablesFirewall) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    number = await firewall.poll_revision()
    ping()
    assert counted("PREROUTING") != "[0:0]"
    assert await firewall.poll_revision() == number


async def test_a_change_of_order_in_a_large_table_is_detected_within_eight_polls(
    firewall: IptablesFirewall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy, "_LARGE", 0)
    await firewall.apply(diff(DESIRED, EMPTY))
    number = await firewall.poll_revision()
    ip6tables("-A", "INPUT", "-j", "RETURN", table="mangle")
    assert await firewall.poll_revision() == number + 1
    ip6tables("-D", "FORWARD", *JUMP, table="mangle")
    assert await firewall.poll_revision() == number + 2
    ip6tables("-I", "FORWARD", *JUMP, table="mangle")
    assert await firewall.poll_revision() == number + 3
    ip6tables("-D", "INPUT", "1", table="mangle")
    ip6tables("-A", "INPUT", "-j", "DROP", table="mangle")
    assert number + 4 in [await firewall.poll_revision() for _ in range(8)]


async def test_a_repair_rewrites_the_damaged_chain_only(firewall: IptablesFirewall) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    ip6tables("-Z", table="mangle")
    ping()
    before = counted("PREROUTING")
    assert before != "[0:0]"
    ip6tables("-F", "DOCKERV6-WITHIN", table="mangle")
    await firewall.apply(diff(DESIRED, await firewall.observe()))
    assert counted("PREROUTING") == before


async def applied(firewall: IptablesFirewall, desired: Ruleset) -> None:
    """Apply it as the operator does, which plans again if the tables changed meanwhile."""
    for _ in range(100):
        with suppress(RulesetMoved, FirewallBusy):
            await firewall.apply(diff(desired, await firewall.observe()))
            return
    pytest.fail("the other writer blocks the change")


async def test_other_writers_lose_no_rule_and_block_no_change(firewall: IptablesFirewall, tmp_path: Path) -> None:
    done = threading.Event()

    def write(*verbs: str, **environment: str) -> int:
        rounds = 0
        while not done.is_set():
            for verb in verbs:
                subprocess.run(
                    ["ip6tables-legacy", "-w", "-t", "nat", verb, "INPUT", "-j", "ACCEPT"],
                    env={**os.environ, **environment},
                    check=False,
                    capture_output=True,
                )
            rounds += 1
        return rounds

    with ThreadPoolExecutor() as writers:
        polite = writers.submit(write, "-A")
        try:
            for desired in [DESIRED, SMALL, EMPTY] * 3:
                assert await firewall.apply(diff(desired, await firewall.observe())) == desired
        finally:
            done.set()
        rounds = polite.result()
    assert len([line for line in saved("nat") if line.startswith("-A INPUT")]) == rounds
    done.clear()
    with ThreadPoolExecutor() as writers:  # a program that takes another lock
        # it deletes its rule again: in a table that grows, each change would take longer than the one before
        rude = writers.submit(write, "-A", "-D", XTABLES_LOCKFILE=str(tmp_path / "other.lock"))
        try:
            for desired in [DESIRED, SMALL, EMPTY] * 3:
                await applied(firewall, desired)
        finally:
            done.set()
        rude.result()
    assert await firewall.apply(diff(DESIRED, await firewall.observe())) == DESIRED


async def test_a_rule_that_is_added_and_deleted_during_a_commit_is_no_refusal(
    firewall: IptablesFirewall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturb_commits(monkeypatch, tmp_path / "other.lock", 3)
    assert await firewall.apply(diff(DESIRED, await firewall.observe())) == DESIRED
    disturb_commits(monkeypatch, tmp_path / "other.lock", 100)
    with pytest.raises(FirewallBusy, match="keeps changing the legacy IPv6 tables"):
        await firewall.apply(diff(SMALL, await firewall.observe()))
    assert await firewall.observe() == DESIRED


async def test_drops_are_added_before_and_removed_after_translations(
    firewall: IptablesFirewall, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[tuple[bool, bool]] = []
    real = libiptc.commit

    def recorded(table: Any) -> None:
        real(table)
        commits.append(("DROP" in "".join(saved("mangle")), "--to-destination" in "".join(saved("nat"))))

    monkeypatch.setattr(libiptc, "commit", recorded)
    guarded = replace(WEB, sources=(IPv6Network("2001:db8:7::/48"),))
    intent = FirewallIntent((BLOG,), ports=(guarded,), guest_bridges=("br-blog",))
    await firewall.apply(diff(render(intent), EMPTY))
    assert commits == [(True, False), (True, True)]
    commits.clear()
    moved = replace(intent, ports=(replace(guarded, port=81),))
    await firewall.apply(diff(render(moved), await firewall.observe()))
    assert commits == [(True, False), (True, False), (True, True)]  # none leads anywhere while the lists change
    commits.clear()
    await firewall.apply(diff(EMPTY, await firewall.observe()))
    assert commits == [(True, False), (False, False)]


async def test_an_external_prefix_is_closed_before_and_until_after_it_is_translated(
    firewall: IptablesFirewall, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[tuple[frozenset[str], frozenset[str]]] = []
    real = libiptc.commit

    def recorded(table: Any) -> None:
        real(table)
        closed = [line for line in saved("mangle") if line.startswith("-A DOCKERV6-TO_HOS-1a ")]
        led = [line for line in saved("nat") if line.startswith("-A DOCKERV6-PREROUTING -d ")]
        commits.append((_prefixes(closed), _prefixes(led)))

    monkeypatch.setattr(libiptc, "commit", recorded)
    one, other = (frozenset({str(prefix)}) for prefix in HOME.external_prefixes)
    for outer, expected in (
        (HOME.external_prefixes[:1], [(one, set()), (one, one)]),
        (HOME.external_prefixes, [(one | other, one), (one | other, one | other)]),
        (HOME.external_prefixes[1:], [(one | other, other), (other, other)]),
    ):
        commits.clear()
        intent = FirewallIntent((replace(HOME, external_prefixes=outer),), guest_bridges=("br-home",))
        await firewall.apply(diff(render(intent), await firewall.observe()))
        assert commits == expected


def _prefixes(rules: list[str]) -> frozenset[str]:
    return frozenset(word for line in rules for word in line.split() if word.startswith("2001:db8:"))


async def test_a_lock_that_is_held_too_long_is_an_error(
    firewall: IptablesFirewall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libiptc, "LOCK", tmp_path / "xtables.lock")
    monkeypatch.setattr(libiptc, "POLL", 0.001)
    with (tmp_path / "xtables.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(FirewallBusy, match="has held"):
            await firewall.apply(diff(SMALL, EMPTY))
    await firewall.apply(diff(SMALL, EMPTY))
    monkeypatch.setattr(libiptc, "LOCK", tmp_path / "nowhere" / "xtables.lock")
    with pytest.raises(FirewallUnavailable, match=r"xtables\.lock"):
        await firewall.sweep()


async def test_a_ruleset_with_link_kinds_is_refused_and_nothing_is_written(firewall: IptablesFirewall) -> None:
    assert not firewall.matches_link_kinds
    for act in (firewall.check, firewall.apply):
        with pytest.raises(FirewallRejected, match="guest_bridges"):
            await act(diff(render(EVERYTHING), EMPTY))
    assert await firewall.observe() == EMPTY


async def test_four_hundred_networks_with_a_thousand_ports_read_back_equal(firewall: IptablesFirewall) -> None:
    networks = tuple(
        NetworkIntent(f"net{n}", IPv6Network(f"fd00:0:0:{n:x}::/64"), InterfaceName(f"br-{n * 7919:012x}"))
        for n in range(400)
    )
    ports = tuple(
        PortIntent(f"net{n % 400}", TransportProtocol.TCP, 8000 + n, IPv6Address(f"fd00:0:0:{n % 400:x}::{n:x}"), 80)
        for n in range(1000)
    )
    intent = FirewallIntent(networks, ports=ports, guest_bridges=tuple(each.bridge for each in networks))
    assert await firewall.apply(diff(render(intent), EMPTY)) == render(intent)
    fewer = render(replace(intent, networks=networks[1:], ports=ports[:-1]))
    assert await firewall.apply(diff(fewer, await firewall.observe())) == fewer


SWEEP = """
import asyncio, subprocess, sys
from dockerv6.firewall.iptables.backend import IptablesFirewall
from dockerv6.firewall.port import FirewallUnavailable

async def main():
    spawn, subprocess.Popen = subprocess.Popen, None
    firewall = IptablesFirewall()
    try:
        owners = (await firewall.observe()).owners
        print(len(owners))
        await firewall.poll_revision()
        if owners:
            subprocess.Popen = spawn  # libraries are found by ldconfig
        if len(sys.argv) == 1:
            await firewall.sweep()
    except FirewallUnavailable as error:
        print(error)
    await firewall.close()
    print("iptc" in sys.modules)

asyncio.run(main())
"""


def observed(*argv: str, arguments: tuple[str, ...] = ()) -> list[str]:
    command = [*argv, sys.executable, "-c", SWEEP, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def test_a_host_without_our_chains_loads_no_library_and_gets_no_table(firewall: IptablesFirewall) -> None:
    assert observed() == ["0", "False"]
    assert legacy.used_tables() == frozenset()
    ip6tables("-A", "INPUT", "-j", "ACCEPT", table="nat")
    assert observed() == ["0", "False"]
    await firewall.apply(diff(SMALL, EMPTY))
    assert observed(arguments=("look",)) == ["1", "False"]  # reading alone needs none either
    assert observed() == ["1", "True"]
    assert await firewall.observe() == EMPTY


async def test_without_the_privilege_the_error_has_the_remedy(firewall: IptablesFirewall) -> None:
    await firewall.apply(diff(SMALL, EMPTY))
    lines = observed("setpriv", "--bounding-set=-net_admin,-net_raw", "--inh-caps=-net_admin,-net_raw")
    assert "CAP_NET_ADMIN" in lines[0]
