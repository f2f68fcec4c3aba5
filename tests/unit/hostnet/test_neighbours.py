import errno
import os
import struct
from collections.abc import Callable
from ipaddress import IPv6Address
from unittest.mock import Mock

import pytest

from dockerv6.hostnet import neighbours
from dockerv6.hostnet.model import ProxyNeighbour
from dockerv6.lib import netlink
from tests.unit.lib.test_netlink import attribute, message

NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
AF_INET6, PROXY, PERMANENT, REACHABLE = 10, 0x08, 0x80, 0x02
CREATE_EXCLUSIVELY = 0x600
INDEX = 5
CONTAINER, OTHER = IPv6Address("2001:db8::c"), IPv6Address("2001:db8::d")

Sent = list[tuple[int, int, int, bytes]]


def neighbour(*parts: bytes, index: int = INDEX, flags: int = PROXY, state: int = 0) -> bytes:
    return struct.pack("=BxxxiHBB", AF_INET6, index, state, flags, 0) + b"".join(parts)


def to(address: IPv6Address) -> bytes:
    return attribute(1, address.packed)


def by(protocol: int) -> bytes:
    return attribute(12, bytes([protocol]))


def refusal(code: int) -> Callable[..., object]:
    def refuse(*_: object) -> object:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The commands: protocol, type, flags, payload. There is no proxy neighbour yet."""
    commands: Sent = []
    monkeypatch.setattr(neighbours, "command", lambda *command: commands.append(command))
    monkeypatch.setattr(neighbours, "if_nametoindex", lambda _: INDEX)
    monkeypatch.setattr(neighbours, "get", refusal(errno.ENOENT))
    return commands


def listed(monkeypatch: pytest.MonkeyPatch, *payloads: bytes) -> frozenset[ProxyNeighbour]:
    datagrams = [message(NEWNEIGH, payload) for payload in payloads]
    answers = [(datagram, start, end) for datagram in datagrams for _, start, end in netlink.messages(datagram)]
    dumped = Mock(return_value=answers)
    monkeypatch.setattr(neighbours, "dump", dumped)
    monkeypatch.setattr(neighbours, "interface_name", lambda index, _: {INDEX: "eth0"}.get(index))
    found = neighbours.proxy_neighbours()
    # the kernel lists ordinary neighbours instead unless this flag is the only one
    dumped.assert_called_once_with(0, GETNEIGH, neighbour(index=0))
    return found


def test_ours_are_those_of_our_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    found = listed(
        monkeypatch,
        neighbour(to(CONTAINER), by(166)),
        neighbour(to(OTHER), by(77)),
        neighbour(to(IPv6Address("2001:db8::e"))),
    )
    assert found == {
        ProxyNeighbour("eth0", CONTAINER, ours=True),
        ProxyNeighbour("eth0", OTHER, ours=False),
        ProxyNeighbour("eth0", IPv6Address("2001:db8::e"), ours=False),
    }


def test_ordinary_neighbours_and_those_of_interfaces_that_have_just_gone_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ordinary = neighbour(to(CONTAINER), flags=0, state=REACHABLE)
    assert listed(monkeypatch, ordinary, neighbour(to(CONTAINER), index=9), neighbour()) == frozenset()


def test_an_entry_is_made_with_our_protocol_and_to_outlast_a_carrier(sent: Sent) -> None:
    neighbours.add_proxy_neighbour("eth0", CONTAINER)
    assert sent == [(0, NEWNEIGH, CREATE_EXCLUSIVELY, neighbour(to(CONTAINER), by(166), state=PERMANENT))]


def test_an_entry_that_is_there_is_left_as_it_is(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Mock(return_value=[(neighbour(to(CONTAINER), by(77)), 0, 36)])
    monkeypatch.setattr(neighbours, "get", asked)
    neighbours.add_proxy_neighbour("eth0", CONTAINER)
    asked.assert_called_once_with(0, GETNEIGH, neighbour(to(CONTAINER)))
    assert sent == []


def test_when_the_kernel_will_not_say_nothing_is_made(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "get", refusal(errno.ENODEV))
    with pytest.raises(OSError, match="No such device"):
        neighbours.add_proxy_neighbour("eth0", CONTAINER)
    assert sent == []


def test_an_entry_is_removed_by_its_address(sent: Sent) -> None:
    neighbours.remove_proxy_neighbour("eth0", CONTAINER)
    assert sent == [(0, DELNEIGH, 0, neighbour(to(CONTAINER)))]


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENODEV])
def test_to_remove_what_is_gone_is_success(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "command", refusal(code))
    neighbours.remove_proxy_neighbour("eth0", CONTAINER)


def test_to_remove_from_an_interface_of_no_known_name_is_success(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "if_nametoindex", refusal(errno.ENODEV))
    neighbours.remove_proxy_neighbour("eth0", CONTAINER)
    assert sent == []


@pytest.mark.usefixtures("sent")
def test_other_refusals_to_remove_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "command", refusal(errno.EPERM))
    with pytest.raises(PermissionError):
        neighbours.remove_proxy_neighbour("eth0", CONTAINER)
