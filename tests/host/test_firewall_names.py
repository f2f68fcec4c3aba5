"""All names that interfaces can have on a real kernel: rules hold them as they are, and residue is removed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.iptables.backend import IptablesFirewall
from dockerv6.firewall.model import NetworkIntent
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.kernel import NFPROTO_INET, NftMessage, text
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.hostnet.links import interfaces
from dockerv6.lib.netlink import NLM_F_CREATE
from dockerv6.lib.networking import InterfaceName, interface_name
from tests.host.network import nft, private_network
from tests.unit.firewall.intents import BLOG, intent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.host

NAMES = ["br-a", "eth0.100", "-", "1", "0x10", "drop", "inet", "a,b", "a;b", "{", "#", "'", "$v", "~", "a|b", "é"]
NAMES += ["*", "a*", "@x", "@networks", '"', "a\\b", "a\\*", "!a", "a+", "a", "\x01", os.fsdecode(b"br-\xff")]
"""Names that the kernel takes. Some of them have another meaning in a notation of nft or ip6tables."""

REFUSED = ["", ".", "..", "all", "default", "a b", "a/b", "eth0:1", "a\n", "à", "x" * 16, "é" * 8]
"""Names that the kernel does not take. The letter ends with byte a0, which the kernel counts as a space."""


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with private_network():
        yield


@pytest.fixture
async def nftables() -> AsyncIterator[NftablesFirewall]:
    session = NftSession()
    yield NftablesFirewall(session)
    await session.close()


@pytest.fixture
async def legacy() -> AsyncIterator[IptablesFirewall]:
    made = IptablesFirewall()
    yield made
    await made.close()


def run(*command: str | bytes, batch: bytes = b"") -> bytes:
    """Run a program; return its output."""
    return subprocess.run(command, input=batch, capture_output=True, check=True).stdout


def add_bridge(name: str | bytes) -> None:
    run("ip", "link", "add", "name", name, "type", "bridge")


def network(number: int, name: str) -> NetworkIntent:
    """A network with every kind of element that names an interface."""
    subnet = IPv6Network(f"fd00:0:0:{number:x}::/64")
    bridge = InterfaceName(name)
    return NetworkIntent(f"n{number}", subnet, bridge, egress_interfaces=(bridge, InterfaceName("eth0")), icc=False)


NETWORKS = [network(number, name) for number, name in enumerate(NAMES, 1)]


def test_a_name_is_valid_if_the_kernel_takes_it() -> None:
    for name in NAMES:
        add_bridge(name)
    assert {each.name for each in interfaces()} >= set(NAMES)
    assert [interface_name(name) for name in NAMES] == NAMES
    for name in REFUSED:
        with pytest.raises(subprocess.CalledProcessError):
            add_bridge(name)
    assert [interface_name(name) for name in REFUSED] == [None] * len(REFUSED)


async def test_names_are_written_read_back_and_removed(nftables: NftablesFirewall) -> None:
    desired = render(intent(*NETWORKS))
    assert await nftables.apply(diff(desired, EMPTY)) == desired
    fewer = render(intent(NETWORKS[0]))
    assert await nftables.apply(diff(fewer, await nftables.observe())) == fewer


async def test_names_are_written_read_back_and_removed_in_legacy_tables(legacy: IptablesFirewall) -> None:
    desired = render(replace(intent(*NETWORKS), guest_bridges=tuple(NAMES)))
    assert await legacy.apply(diff(desired, EMPTY)) == desired
    assert await legacy.observe() == desired
    assert b" -i !a " in run("ip6tables-legacy-save")  # the name, not everything but `a`
    fewer = render(replace(intent(NETWORKS[0]), guest_bridges=(NAMES[0],)))
    assert await legacy.apply(diff(fewer, desired)) == fewer


RESIDUE = {
    "a star": b'element inet dockerv6 own_bridge { "\\*" . "\\*" comment "gone" }',
    "a catch-all element": b'element inet dockerv6 internal { * comment "gone" }',
    "a set": b'element inet dockerv6 own_bridge { "@networks" . "@x" comment "gone" }',
    "an exclamation mark": b'element inet dockerv6 networks { fd09::/64 . "!eth0" comment "gone" }',
    "bytes that are no text": b'element inet dockerv6 internal { "br-\xff" comment "gone" }',
    "an owner that is no text": b'element inet dockerv6 internal { "br-x" comment "' + b"\xff" * 128 + b'" }',
}


@pytest.mark.parametrize("residue", RESIDUE.values(), ids=RESIDUE)
async def test_residue_with_a_strange_name_goes_and_kept_rules_stay(nftables: NftablesFirewall, residue: bytes) -> None:
    kept = replace(BLOG, owner="kept", subnet=IPv6Network("fd08::/64"), bridge=InterfaceName("br-kept"))
    good = render(intent(BLOG, kept))
    await nftables.apply(diff(good, EMPTY))
    run("nft", "-f", "-", batch=b"add " + residue)
    table = await nftables.observe()
    assert table != good
    assert await nftables.apply(diff(render(intent(BLOG)), table, frozenset({"kept"}))) == good


async def test_a_kept_element_with_a_long_comment_does_not_fail_a_new_table(nftables: NftablesFirewall) -> None:
    good = render(intent(BLOG))
    await nftables.apply(diff(good, EMPTY))
    run("nft", "-f", "-", batch=b'add element inet dockerv6 internal { "br-x" comment "' + b"\xff" * 128 + b'" }')
    nft("add map inet dockerv6 m { type mark : mark; }")
    table = await nftables.observe()
    after = await nftables.apply(diff(good, table, table.owners - {"blog"}))
    assert after.foreign == ()
    assert len(after.owners - {"blog"}) == 1


async def test_a_chain_whose_name_is_no_text_goes(nftables: NftablesFirewall) -> None:
    good = render(intent(BLOG))
    await nftables.apply(diff(good, EMPTY))
    message = NftMessage(3, NLM_F_CREATE, NFPROTO_INET, text(1, "dockerv6") + text(3, os.fsdecode(b"\xff")), "add")
    session = NftSession()
    await session.run([message])
    await session.close()
    assert await nftables.apply(diff(good, await nftables.observe())) == good


async def test_a_chain_of_others_with_bytes_that_are_no_text_does_not_matter(legacy: IptablesFirewall) -> None:
    desired = render(replace(intent(BLOG), guest_bridges=("br-blog",)))
    run("ip6tables-legacy", "-t", "nat", "-N", b"\xff")
    assert await legacy.apply(diff(desired, EMPTY)) == desired
