import socket
import struct
from dataclasses import replace
from ipaddress import IPv6Interface

import pytest

from dockerv6.hostnet import links
from dockerv6.hostnet.model import Interface
from tests.unit.lib.test_netlink import attribute

NEWLINK, SETLINK, NEWADDR, DELADDR = 16, 19, 20, 21
NESTED = 0x8000
INDEX = 7

ADDRESS = IPv6Interface("2001:db8::1/64")
BRIDGE = Interface(INDEX, "br0", "bridge", up=True, mtu=1500)
OTHER = Interface(
    INDEX - 1, "br1", "bridge", up=True, mtu=1500, addresses=(ADDRESS,), tentative=frozenset({ADDRESS.ip})
)

Sent = list[tuple[int, int, int, bytes]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The commands: protocol, type, flags, payload."""
    commands: Sent = []
    monkeypatch.setattr(links, "command", lambda *command: commands.append(command))
    monkeypatch.setattr(links, "if_nametoindex", {"br0": INDEX}.__getitem__)
    monkeypatch.setattr(links, "interfaces", lambda: (BRIDGE,))
    return commands


def link(family: int, *parts: bytes, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", family, 0, INDEX, flags, change) + b"".join(parts)


def test_only_the_flag_up_is_changed(sent: Sent) -> None:
    links.set_link_up("br0")
    assert sent == [(0, NEWLINK, 0, link(socket.AF_UNSPEC, flags=1, change=1))]


def test_an_address_is_made_or_replaced_and_usable_at_once(sent: Sent) -> None:
    links.add_address("br0", ADDRESS)
    assert sent == [(0, NEWADDR, 0x500, wanted())]


def wanted() -> bytes:
    return struct.pack("=BBBBi", socket.AF_INET6, 64, 0x02, 0, INDEX) + attribute(1, ADDRESS.ip.packed)


def test_an_address_that_is_not_proven_is_made_anew(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    tentative = replace(BRIDGE, addresses=(ADDRESS,), tentative=frozenset({ADDRESS.ip}))
    monkeypatch.setattr(links, "interfaces", lambda: (OTHER, tentative))
    links.add_address("br0", ADDRESS)
    assert sent == [(0, DELADDR, 0, wanted()), (0, NEWADDR, 0x500, wanted())]


@pytest.mark.parametrize("there", [replace(BRIDGE, addresses=(ADDRESS,)), None], ids=["proven", "gone"])
def test_no_other_address_is_removed(sent: Sent, monkeypatch: pytest.MonkeyPatch, there: Interface | None) -> None:
    monkeypatch.setattr(links, "interfaces", lambda: (OTHER, *((there,) if there else ())))
    links.add_address("br0", ADDRESS)
    assert sent == [(0, NEWADDR, 0x500, wanted())]


@pytest.mark.parametrize(("on", "value"), [(True, b"\1"), (False, b"\0")])
def test_hairpin_is_a_setting_of_the_port(sent: Sent, value: bytes, *, on: bool) -> None:
    links.set_hairpin("br0", on=on)
    assert sent == [(0, SETLINK, 0, link(socket.AF_BRIDGE, attribute(NESTED | 12, attribute(4, value))))]


@pytest.mark.parametrize(("on", "value"), [(True, b"\1"), (False, b"\0")])
def test_a_bridges_setting_goes_with_its_kind(sent: Sent, value: bytes, *, on: bool) -> None:
    links.set_bridge_netfilter("br0", on=on)
    info = attribute(1, b"bridge") + attribute(NESTED | 2, attribute(37, value))
    assert sent == [(0, NEWLINK, 0, link(socket.AF_UNSPEC, attribute(NESTED | 18, info)))]
