"""Damage to our table that only its content can show: who is suspended keeps everything, and all else is repaired.

What the table holds for a suspended resource is known from the table only, so nothing else that is wrong with it may
keep that from being read.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.diff import diff
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.kernel import NFPROTO_INET, NfTables, NftMessage, nested, number, text
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.operations import DeleteTable
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.lib.netlink import NETLINK_NETFILTER, NLM_F_CREATE, attribute
from dockerv6.lib.processes import process_with, socket_inode
from tests.host.network import nft, private_network
from tests.host.test_nftables import OBSERVE
from tests.unit.firewall.intents import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.host

WHOLE = render(EVERYTHING)
SUSPENDED = frozenset({"blog", "open", "fixed", "home"})
"""Owners of elements of every set with ranges, and of rules and ports."""

REST = render(
    replace(
        EVERYTHING,
        networks=tuple(each for each in EVERYTHING.networks if each.owner not in SUSPENDED),
        ports=tuple(each for each in EVERYTHING.ports if each.owner not in SUSPENDED),
        keep=SUSPENDED,
    )
)
TABLE = "inet dockerv6"


def again(name: str, definition: str, elements: str) -> str:
    """Create a set again, in another way. The rules that use it are gone then."""
    flushed = "".join(f"flush chain {TABLE} {chain};\n" for chain in ("forward", "outbound", "source_validation"))
    kind = "map" if " : " in definition else "set"
    return f"{flushed}delete {kind} {TABLE} {name}; add {kind} {TABLE} {name} {{ {definition} }};\n{elements}"


VALIDATED = [f"br-{owner}" for owner in ("blog", "shop", "vault", "plain", "open", "road", "fixed", "home")]
REWRITTEN = f"add element {TABLE} validated {{ " + ", ".join(f'"{b}" comment "{b[3:]}"' for b in VALIDATED) + " }"

ODD_TABLES = {
    "dormant": f"add table {TABLE} {{ flags dormant; }}",
    "dormant and emptied chains": (
        f"flush chain {TABLE} forward; flush chain {TABLE} within; add table {TABLE} {{ flags dormant; }}"
    ),
    "foreign chain, set, map and objects": (
        f"add counter {TABLE} c; add map {TABLE} m {{ type ifname : verdict; }}; add chain {TABLE} theirs;"
        f'add element {TABLE} m {{ "eth0" : jump theirs }}; add set {TABLE} s {{ type ipv4_addr; flags timeout; }};'
        f"add rule {TABLE} theirs ip6 saddr @snat_to counter name c drop;"
        f"add chain {TABLE} base {{ type filter hook forward priority 0; policy drop; }}"
    ),
    "set with flags timeout": again("validated", "type ifname; flags timeout;", REWRITTEN),
    "elements with a timeout": again(
        "validated", "type ifname; flags timeout;", REWRITTEN.replace(" comment", " timeout 1h comment")
    ),
    "set with a default timeout": again("validated", "type ifname; timeout 1h;", REWRITTEN),
    "set with a size": again("validated", "type ifname; size 100;", REWRITTEN),
    "set with flags dynamic": again("validated", "type ifname; size 100; flags dynamic;", REWRITTEN),
    "set with a counter": again("validated", "type ifname; counter;", REWRITTEN),
    "set with another policy": again("validated", "type ifname; policy memory;", REWRITTEN),
}
"""Only a new table repairs these. It holds everything again."""

ODD_DEFINITIONS = {
    "set of another type": again("validated", "type inet_service;", ""),
    "map instead of a set": again("validated", "type ifname : ipv6_addr;", ""),
    "map with verdicts": again("validated", "type ifname : verdict;", ""),
    "set with ranges": again("validated", "type ifname; flags interval;", ""),
}
"""As above, but one set does not hold what it held. Everything in the others stays."""

ODD_ELEMENTS = {
    "range of ports": f"add element {TABLE} restricted {{ udp . 80-90 . fd00::/64 }}",
    "protocol without a name": f"add element {TABLE} restricted {{ 143 . 80 . fd00::/64 }}",
    "wildcard": f'add element {TABLE} networks {{ fd00::/64 . "br-*" }}',
    "element for all others": f"add element {TABLE} open {{ * }}",
    "element for all others of a map": f"add element {TABLE} loopback {{ * : 2001:db8::bad }}",
    "comment that is nobody's name": f'add element {TABLE} open {{ "br-bad" comment "nobody" }}',
    "plain element by hand": f"add element {TABLE} egress_any {{ 2001:db8:bad::/64 }}",
}

AT = IPv6Address("2001:db8:bad::").packed
ODD_BYTES = {
    "start of a range without an end": ("egress_any", nested(1, nested(1, attribute(1, AT)))),
    "element for all others of a set with ranges": ("egress_any", nested(1, number(3, 2))),
    "comment of another program": (
        "open",
        nested(1, nested(1, attribute(1, b"br-bad".ljust(16, b"\0"))), attribute(6, b"\x07\x01x")),
    ),
}
"""Elements that nft does not write: the set, and NFTA_LIST_ELEM."""


@pytest.fixture(autouse=True)
def _network() -> Iterator[None]:
    with private_network():
        yield


@pytest.fixture
async def firewall() -> AsyncIterator[NftablesFirewall]:
    session = NftSession()
    made = NftablesFirewall(session)
    await made.apply(diff(WHOLE, EMPTY))
    yield made
    await session.close()


@pytest.mark.parametrize("damage", ODD_TABLES)
async def test_an_odd_table_is_made_again_and_nothing_is_lost(firewall: NftablesFirewall, damage: str) -> None:
    nft(ODD_TABLES[damage])
    change = diff(REST, await firewall.observe(), SUSPENDED)
    assert isinstance(change.operations[0], DeleteTable)
    assert await firewall.apply(change) == WHOLE


@pytest.mark.parametrize("damage", ODD_DEFINITIONS)
async def test_a_set_of_another_definition_costs_only_what_it_held(firewall: NftablesFirewall, damage: str) -> None:
    nft(ODD_DEFINITIONS[damage])
    sets = {each.name: each for each in WHOLE.sets}
    sets["validated"] = replace(
        sets["validated"],
        elements=frozenset(each for each in sets["validated"].elements if each.owner not in SUSPENDED),
    )
    change = diff(REST, await firewall.observe(), SUSPENDED)
    assert await firewall.apply(change) == replace(WHOLE, sets=tuple(sets.values()))


@pytest.mark.parametrize("damage", ODD_ELEMENTS)
async def test_an_odd_element_is_removed_alone(firewall: NftablesFirewall, damage: str) -> None:
    nft(ODD_ELEMENTS[damage])
    change = diff(REST, await firewall.observe(), SUSPENDED)
    assert not any(isinstance(each, DeleteTable) for each in change.operations)
    assert len({line for line in change.describe() if not line.startswith("flush set")}) <= 1
    assert await firewall.apply(change) == WHOLE


@pytest.mark.parametrize("damage", ODD_BYTES)
async def test_an_element_of_odd_bytes_is_removed_alone(firewall: NftablesFirewall, damage: str) -> None:
    name, element = ODD_BYTES[damage]
    _write(name, element)
    change = diff(REST, await firewall.observe(), SUSPENDED)
    assert not any(isinstance(each, DeleteTable) for each in change.operations)
    assert await firewall.apply(change) == WHOLE


def _write(name: str, element: bytes) -> None:
    attributes = text(1, "dockerv6") + text(2, name) + nested(3, element)
    tables = NfTables()
    tables.commit([NftMessage(12, NLM_F_CREATE, NFPROTO_INET, attributes, "add an odd element")])
    tables.close()


async def test_a_flushed_set_is_reported_as_what_it_lost_and_got(firewall: NftablesFirewall) -> None:
    nft(ODD_ELEMENTS["element for all others"] + f'; delete element {TABLE} open {{ "br-open" }}')
    lines = diff(WHOLE, await firewall.observe()).describe()
    assert lines == ("flush set open: it holds an element that stands for all others", "add br-open to set open (open)")


OWN = """
import sys
from dockerv6.firewall.nftables.kernel import NFPROTO_INET, NfTables, NftMessage, number, text
tables = NfTables()
tables.commit([NftMessage(0, 0x400, NFPROTO_INET, text(1, "dockerv6") + number(2, int(sys.argv[1])), "own the table")])
print("owned", flush=True)
sys.stdin.read()
"""
OWNER, PERSIST = 2, 4  # NFT_TABLE_F_*


@contextmanager
def owned(flags: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that makes a table of our name and owns it."""
    argv = (sys.executable, "-c", OWN, str(flags))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        yield process
        process.kill()


@pytest.mark.parametrize("flags", [OWNER, OWNER | PERSIST])
async def test_the_owner_of_our_table_is_named_and_stopping_it_helps(firewall: NftablesFirewall, flags: int) -> None:
    await firewall.sweep()
    with owned(flags) as process:
        remedy = rf"stop process {process.pid} \(python.*\), for example with kill {process.pid}\."
        for refused in (firewall.observe(), firewall.sweep(), firewall.apply(diff(WHOLE, EMPTY))):
            with pytest.raises(FirewallUnavailable, match=remedy):
                await refused
        os.kill(process.pid, signal.SIGTERM)
        process.wait()
        change = diff(WHOLE, await firewall.observe())
        while await firewall.observe() != change.base:  # the kernel removes the table after the socket
            change = diff(WHOLE, await firewall.observe())
        assert await firewall.apply(change) == WHOLE


def test_a_process_that_is_hidden_is_found_by_the_command_in_the_message() -> None:
    unprivileged = ("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace")
    with owned(OWNER) as process:
        shown = subprocess.run(
            (*unprivileged, sys.executable, "-c", OBSERVE), capture_output=True, text=True, check=True
        ).stdout
        found = re.search(r"shows to root on the host: (find .*?'.*?')", shown)
        assert found is not None, shown
        # find ends with 1 if a process ends while it looks
        done = subprocess.run(("sh", "-c", found[1]), capture_output=True, text=True, check=False)
        assert done.stdout.startswith(f"/proc/{process.pid}/fd/")


def test_a_port_of_no_socket_has_no_process() -> None:
    assert socket_inode(NETLINK_NETFILTER, 0xFFFF_FFFE) is None
    assert process_with("0") is None
