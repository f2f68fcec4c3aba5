import socket
import struct
from ipaddress import IPv6Interface

import pytest

from dockerv6.hostnet import links
from tests.unit.hostnet.test_netlink import attribute

NEWLINK, SETLINK, NEWADDR = 16, 19, 20
NESTED = 0x8000
INDEX = 7

Sent = list[tuple[int, int, int, bytes]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The commands: protocol, type, flags, payload."""
    commands: Sent = []
    monkeypatch.setattr(links, "command", lambda *command: commands.append(command))
    monkeypatch.setattr(links, "if_nametoindex", {"br0": INDEX}.__getitem__)
    return commands


def link(family: int, *parts: bytes, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", family, 0, INDEX, flags, change) + b"".join(parts)


def test_only_the_flag_up_is_changed(sent: Sent) -> None:
    links.set_up("br0")
    assert sent == [(0, NEWLINK, 0, link(socket.AF_UNSPEC, flags=1, change=1))]


def test_an_address_is_made_or_replaced_and_usable_at_once(sent: Sent) -> None:
    address = IPv6Interface("2001:db8::1/64")
    links.add_address("br0", address)
    head = struct.pack("=BBBBi", socket.AF_INET6, 64, 0x02, 0, INDEX)
    assert sent == [(0, NEWADDR, 0x500, head + attribute(1, address.ip.packed))]


@pytest.mark.parametrize(("on", "value"), [(True, b"\1"), (False, b"\0")])
def test_hairpin_is_a_setting_of_the_port(sent: Sent, value: bytes, *, on: bool) -> None:
    links.set_hairpin("br0", on=on)
    assert sent == [(0, SETLINK, 0, link(socket.AF_BRIDGE, attribute(NESTED | 12, attribute(4, value))))]


@pytest.mark.parametrize(("on", "value"), [(True, b"\1"), (False, b"\0")])
def test_a_bridges_setting_goes_with_its_kind(sent: Sent, value: bytes, *, on: bool) -> None:
    links.set_bridge_netfilter("br0", on=on)
    info = attribute(1, b"bridge") + attribute(NESTED | 2, attribute(37, value))
    assert sent == [(0, NEWLINK, 0, link(socket.AF_UNSPEC, attribute(NESTED | 18, info)))]
