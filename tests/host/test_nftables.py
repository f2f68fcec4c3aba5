"""The nftables backend on a real kernel: damage is seen and repaired, and nothing is written without need."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.filter_chains import ERRORS
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.commands import commands
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.lib.networking import InterfaceName
from tests.host.network import nft, private_network
from tests.unit.firewall.intents import BLOG, EVERYTHING, SHOP, WEB, intent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from dockerv6.firewall.expr import Chain

pytestmark = pytest.mark.host

DESIRED = render(EVERYTHING)

DAMAGES = {
    "everything flushed": "flush ruleset",
    "table deleted": "delete table inet dockerv6",
    "table emptied": "delete table inet dockerv6; add table inet dockerv6",
    "chain flushed": "flush chain inet dockerv6 postrouting",
    "rules deleted": "flush chain inet dockerv6 forward; add rule inet dockerv6 forward accept",
    "foreign rule": "insert rule inet dockerv6 outbound counter drop",
    "foreign chain": "add chain inet dockerv6 mine; add rule inet dockerv6 mine accept",
    "foreign base chain": "add chain inet dockerv6 mine { type filter hook input priority 0; policy drop; }",
    "foreign set": "add set inet dockerv6 mine { type inet_service; }",
    "foreign map": "add map inet dockerv6 mine { type ifname : verdict; }",
    "foreign counter": "add counter inet dockerv6 mine",
    "foreign element": "add element inet dockerv6 egress_any { fd00:bad::/64 }",
    "foreign range": "add element inet dockerv6 egress_any { 2001:db8::1-2001:db8::5 }",
    "element deleted": "delete element inet dockerv6 egress_any { fd12:3456:789a:1::/64 }",
    "element deleted in a concatenation": 'delete element inet dockerv6 networks { fd12:3456:789a:1::/64 . "br-blog" }',
    "foreign concatenated range": "add element inet dockerv6 restricted { udp . 80-90 . fd00::/64 }",
    "foreign protocol": "add element inet dockerv6 restricted { 143 . 80 . fd00::/64 }",
    "foreign element of a map": "add element inet dockerv6 published_to { udp . 143 : 2001:db8::bad }",
    "element of a map deleted": "delete element inet dockerv6 published_port { tcp . 8080 }",
    "value of a map changed": (
        "delete element inet dockerv6 published_port { tcp . 8080 };"
        'add element inet dockerv6 published_port { tcp . 8080 comment "blog" : 443 }'
    ),
    "rule of a resource added": (
        'add rule inet dockerv6 prefix_in ip6 daddr 2001:db8:bad::/64 dnat ip6 prefix to fd00::/64 comment "home"'
    ),
    "rules of a resource flushed": "flush chain inet dockerv6 prefix_out",
    "value of an interval map changed": (
        "delete element inet dockerv6 snat_to { fd12:3456:789a:7::/64 };"
        'add element inet dockerv6 snat_to { fd12:3456:789a:7::/64 comment "fixed" : 2001:db8::bad }'
    ),
    "map of another type": (
        "flush chain inet dockerv6 loopback; delete map inet dockerv6 loopback;"
        "add map inet dockerv6 loopback { type inet_proto . inet_service : ipv4_addr; }"
    ),
    "map that became a set": (
        "flush chain inet dockerv6 loopback; delete map inet dockerv6 loopback;"
        "add set inet dockerv6 loopback { type inet_proto . inet_service; }"
    ),
    "policy changed": "add chain inet dockerv6 forward { policy drop; }",
    "priority changed": (
        "flush chain inet dockerv6 postrouting; delete chain inet dockerv6 postrouting;"
        "add chain inet dockerv6 postrouting { type nat hook postrouting priority 300; }"
    ),
    "hook changed": (
        "flush chain inet dockerv6 forward; delete chain inet dockerv6 forward;"
        "add chain inet dockerv6 forward { type filter hook input priority -1; }"
    ),
    "jumped-to chain flushed": "flush chain inet dockerv6 within",
    "jumped-to chain deleted": "flush chain inet dockerv6 forward; flush chain inet dockerv6 outbound;"
    "delete chain inet dockerv6 outbound",
    "set of another type": (
        "flush chain inet dockerv6 outbound; flush chain inet dockerv6 inbound;"
        "delete set inet dockerv6 uplink_bridges;"
        "add set inet dockerv6 uplink_bridges { type inet_service; }"
    ),
    "table put to sleep": "add table inet dockerv6 { flags dormant; }",
}


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with private_network():
        yield


@pytest.fixture
async def nftables() -> AsyncIterator[NftSession]:
    made = NftSession()
    yield made
    await made.close()


@pytest.fixture
def firewall(nftables: NftSession) -> NftablesFirewall:
    return NftablesFirewall(nftables)


def listed(*argv: str) -> str:
    """What another program prints; by default everything in this namespace, with handles."""
    argv = argv or ("nft", "-a", "list", "ruleset")
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def handles(kind: str) -> dict[int, str]:
    """By the kernel's numbers, the comments of rules, or the names of chains, sets or maps."""
    shown = listed("nft", "-j", "list", "table", "inet", "dockerv6")
    bodies = [item[kind] for item in json.loads(shown)["nftables"] if kind in item]
    return {body["handle"]: body.get("comment", body.get("name")) for body in bodies}


def edit_rule(chain: str, number: int, text: str) -> None:
    """Replace one rule in its place."""
    shown = json.loads(listed("nft", "-j", "list", "chain", "inet", "dockerv6", chain))["nftables"]
    handle = [item["rule"]["handle"] for item in shown if "rule" in item][number]
    nft(f"replace rule inet dockerv6 {chain} handle {handle} {text}")


def chain_of(name: str) -> Chain:
    found = DESIRED.chain(name)
    assert found is not None
    return found


@pytest.mark.parametrize("damage", DAMAGES)
async def test_every_damage_is_noticed_and_repaired(firewall: NftablesFirewall, damage: str) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    nft(DAMAGES[damage].replace(";", ";\n") if "{" not in DAMAGES[damage] else DAMAGES[damage])
    change = diff(DESIRED, await firewall.observe())
    assert not change.empty
    assert await firewall.apply(change) == DESIRED


@pytest.mark.parametrize("keeps_digest", [False, True])
async def test_a_rule_edited_in_place_is_noticed_and_repaired(
    firewall: NftablesFirewall, *, keeps_digest: bool
) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    for chain in DESIRED.chains:
        for number, rule in enumerate(chain.rules):
            comment = f"{rule.owner or rule.comment}{f' #{rule.digest}' if keeps_digest else ''}"
            edit_rule(chain.name, number, f'ip6 saddr fd00::/8 comment "{comment}"')
            change = diff(DESIRED, await firewall.observe())
            assert change.describe()[0] == f"flush chain {chain.name}: its rules differ"
            assert await firewall.apply(change) == DESIRED


async def test_an_edited_anonymous_set_is_noticed(firewall: NftablesFirewall) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    nft("add table inet other; add set inet other s { type inet_service; }")
    assert await firewall.observe() == DESIRED
    (number, rule) = next((n, r) for n, r in enumerate(chain_of("inbound").rules) if "errors" in r.comment)
    for types, differs in (("packet-too-big", True), (", ".join(sorted(ERRORS)), False)):
        accept = f"icmpv6 type {{ {types} }} meta mark set meta mark | 0x10000000 accept"
        edit_rule("inbound", number, f'{accept} comment "{rule.comment} #{rule.digest}"')
        assert diff(DESIRED, await firewall.observe()).empty is not differs


async def test_after_a_restart_an_edited_translation_of_a_prefix_is_noticed(nftables: NftSession) -> None:
    await NftablesFirewall(nftables).apply(diff(DESIRED, EMPTY))
    (rule,) = chain_of("prefix_out").rules
    other = "ip6 saddr fd12:3456:789a:8::/64 snat ip6 prefix to 2001:db8:bad::/64"
    edit_rule("prefix_out", 0, f'{other} comment "home #{rule.digest}"')
    change = diff(DESIRED, await NftablesFirewall(nftables).observe())
    assert change.describe()[0] == "flush chain prefix_out: its rules differ"


def as_an_earlier_version_wrote_it() -> str:
    """The table as a script, without digests."""
    return re.sub(r' #[0-9a-f]{12}"', '"', listed("nft", "list", "table", "inet", "dockerv6"))


@pytest.mark.parametrize("keep", [frozenset[str](), frozenset({"home"})])
async def test_a_table_of_an_earlier_version_is_taken_over_in_one_transaction(
    firewall: NftablesFirewall, nftables: NftSession, keep: frozenset[str]
) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    script = as_an_earlier_version_wrote_it()
    nft("flush ruleset")
    nft(script)
    before, generation = [handles(kind) for kind in ("chain", "set", "map")], await nftables.generation()
    assert await firewall.apply(diff(DESIRED, await firewall.observe(), keep)) == DESIRED
    assert [handles(kind) for kind in ("chain", "set", "map")] == before
    assert await nftables.generation() == generation + 1


async def test_nothing_is_written_when_nothing_differs(firewall: NftablesFirewall, nftables: NftSession) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    before, generation = listed(), await nftables.generation()
    again = NftablesFirewall(nftables)  # as after a restart: no memory
    change = diff(DESIRED, await again.observe())
    await again.check(change)
    assert await again.apply(change) == DESIRED
    assert (listed(), await nftables.generation()) == (before, generation)


async def test_another_network_is_hitless_for_rules_chains_and_sets(firewall: NftablesFirewall) -> None:
    """But for the rules that translate its prefix, which are in chains of their own."""
    await firewall.apply(diff(render(intent(BLOG)), EMPTY))
    before = [handles(kind) for kind in ("rule", "chain", "set", "map")]
    for desired, more in ((DESIRED, ["home"] * 3), (render(intent(BLOG)), [])):
        assert await firewall.apply(diff(desired, await firewall.observe())) == desired
        rules, *others = (handles(kind) for kind in ("rule", "chain", "set", "map"))
        assert (before[0].items() <= rules.items(), others) == (True, before[1:])
        assert [rules[handle].split()[0] for handle in rules.keys() - before[0].keys()] == more


async def test_a_repaired_chain_leaves_the_others_alone(firewall: NftablesFirewall) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    before = handles("rule")
    nft("flush chain inet dockerv6 forward_done")
    await firewall.apply(diff(DESIRED, await firewall.observe()))
    after = handles("rule")
    assert len(before.keys() - after.keys()) == 1
    assert sorted(after.values()) == sorted(before.values())


async def test_a_listing_is_kept_only_while_nobody_commits(firewall: NftablesFirewall) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    nft("add table inet somebody")
    assert await firewall.observe() == DESIRED
    nft("flush chain inet dockerv6 forward")
    assert await firewall.observe() != DESIRED


async def test_other_tables_are_never_touched(firewall: NftablesFirewall) -> None:
    nft("add table ip6 dockerv6; add table inet other; add chain inet other c; add rule inet other c counter")
    before = listed()
    await firewall.apply(diff(DESIRED, EMPTY))
    await firewall.sweep()
    assert listed() == before


async def test_a_table_of_our_name_is_ours(firewall: NftablesFirewall) -> None:
    nft("add table inet dockerv6; add chain inet dockerv6 theirs; add rule inet dockerv6 theirs drop")
    assert await firewall.apply(diff(DESIRED, await firewall.observe())) == DESIRED
    nft("add table inet dockerv6; add chain inet dockerv6 theirs")
    assert await firewall.apply(diff(EMPTY, await firewall.observe())) == EMPTY


ODD_ELEMENTS = {
    "ranges that touch": "add element inet dockerv6 egress_any { 2001:db8::1-2001:db8::5, 2001:db8::6-2001:db8::7 }",
    "lowest and highest": "add element inet dockerv6 egress_any { ::-::5, ff00::/8 }",
    "everything": "flush set inet dockerv6 egress_any; add element inet dockerv6 egress_any { ::/0 }",
    "embedded IPv4": "add element inet dockerv6 egress_any { ::ffff:192.0.2.1, ::192.0.2.0/120 }",
    "one address": 'add element inet dockerv6 egress_any { 2001:db8::9 comment "it is" }',
    "concatenated range": "add element inet dockerv6 excluded { 2001:db8::1-2001:db8::5 . ::/0 }",
    "range of ports": "add element inet dockerv6 restricted { udp . 80-90 . fd00::/64 }",
    "protocol without a name": "add element inet dockerv6 restricted { 143 . 80 . fd00::/64 }",
    "wildcard": 'add element inet dockerv6 networks { fd00::/64 . "br-*" }',
    "longest name": 'add element inet dockerv6 open { "abcdefghijklmno" }',
    "range of a map": "add element inet dockerv6 snat_to { 2001:db8::1-2001:db8::5 : 2001:db8::bad }",
    "ranges of a map that touch": (
        "add element inet dockerv6 snat_to { 2001:db8::/64 : 2001:db8::1, 2001:db8:0:1::/64 : 2001:db8::2 }"
    ),
    "value": "add element inet dockerv6 published_to { udp . 143 : 2001:db8::bad }",
}


@pytest.mark.parametrize("odd", ODD_ELEMENTS)
async def test_elements_of_any_form_are_noticed_and_removed(firewall: NftablesFirewall, odd: str) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    nft(ODD_ELEMENTS[odd])
    change = diff(DESIRED, await firewall.observe())
    assert not change.empty
    assert await firewall.apply(change) == DESIRED


async def test_a_saved_and_restored_table_is_the_same(firewall: NftablesFirewall) -> None:
    await firewall.apply(diff(DESIRED, EMPTY))
    shown = listed("nft", "list", "table", "inet", "dockerv6")
    assert 'fd12:3456:789a:1::/64 . "br-blog" comment "blog"' in shown
    assert 'masquerade comment "dockerv6: Masquerade (NAT66) #' in shown
    assert 'ip6 saddr fd12:3456:789a:8::/64 snat ip6 prefix to 2001:db8:8:8::/64 comment "home #' in shown
    nft("flush ruleset")
    nft(shown)  # what people save and restore is the same again
    assert await firewall.observe() == DESIRED


async def test_writing_spawns_nothing_and_prints_nothing(
    firewall: NftablesFirewall, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    await firewall.apply(diff(DESIRED, EMPTY))
    await firewall.sweep()
    assert capfd.readouterr() == ("", "")


OBSERVE = """
import asyncio
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallUnavailable

async def main():
    session = NftSession()
    try:
        await NftablesFirewall(session).observe()
    except FirewallUnavailable as error:
        print(error)
    await session.close()

asyncio.run(main())
"""


def test_without_the_privilege_the_error_names_it() -> None:
    unprivileged = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
    assert "CAP_NET_ADMIN" in listed(*unprivileged, sys.executable, "-c", OBSERVE)


async def test_a_thousand_networks_and_ports_are_one_transaction_and_read_back_equal(
    firewall: NftablesFirewall,
) -> None:
    many = [
        replace(SHOP, owner=f"net{n}", subnet=IPv6Network(f"fd00:0:0:{n:x}::/64"), bridge=InterfaceName(f"br-{n:012x}"))
        for n in range(1000)
    ]
    ports = tuple(
        replace(WEB, owner=each.owner, target=each.subnet[2], port=n) for n, each in enumerate(many, start=1000)
    )
    desired = render(intent(*many, ports=ports))
    assert len(desired.owners) == 1000
    assert await firewall.apply(diff(desired, EMPTY)) == desired


async def test_a_dry_run_does_not_affect_the_next_batch(nftables: NftSession) -> None:
    batch = commands(diff(DESIRED, EMPTY).operations)
    await nftables.run(batch, check=True)
    await nftables.run(batch)


async def test_concurrent_writers_do_not_disturb_one_another(firewall: NftablesFirewall) -> None:
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            nft("add table inet noise; add chain inet noise c; add rule inet noise c accept; delete table inet noise")

    with ThreadPoolExecutor() as writers:
        writing = [writers.submit(write) for _ in range(2)]
        try:
            for desired in [DESIRED, render(intent(BLOG)), EMPTY] * 4:
                assert await firewall.apply(diff(desired, await firewall.observe())) == desired
        finally:
            done.set()
        for each in writing:
            each.result()
