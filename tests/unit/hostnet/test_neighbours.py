import errno
import struct
from ipaddress import IPv6Address

import pytest

from dockerv6.hostnet.model import ProxyNeighbour
from dockerv6.hostnet.neighbours import add_proxy_neighbour, proxy_neighbours, remove_proxy_neighbour
from tests.unit.hostnet.kernel import Kernel
from tests.unit.lib.encoding import attribute

NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
AF_INET6, PROXY, PERMANENT, REACHABLE = 10, 0x08, 0x80, 0x02
CREATE_EXCLUSIVELY = 0x600
INDEX = 5
CONTAINER, OTHER = IPv6Address("2001:db8::c"), IPv6Address("2001:db8::d")


def neighbour(*parts: bytes, index: int = INDEX, flags: int = PROXY, state: int = 0) -> bytes:
    return struct.pack("=BxxxiHBB", AF_INET6, index, state, flags, 0) + b"".join(parts)


def to(address: IPv6Address) -> bytes:
    return attribute(1, address.packed)


def by(protocol: int) -> bytes:
    return attribute(12, bytes([protocol]))


def listed(kernel: Kernel, *payloads: bytes) -> frozenset[ProxyNeighbour]:
    kernel.dumps[GETNEIGH] = list(payloads)
    found = proxy_neighbours()
    # with any other flag the kernel lists ordinary neighbours instead
    assert kernel.requests == [(0, GETNEIGH, neighbour(index=0))]
    return found


def test_entries_with_our_protocol_are_ours(kernel: Kernel) -> None:
    found = listed(
        kernel,
        neighbour(to(CONTAINER), by(166)),
        neighbour(to(OTHER), by(77)),
        neighbour(to(IPv6Address("2001:db8::e"))),
    )
    assert found == {
        ProxyNeighbour("eth0", CONTAINER, ours=True),
        ProxyNeighbour("eth0", OTHER, ours=False),
        ProxyNeighbour("eth0", IPv6Address("2001:db8::e"), ours=False),
    }


def test_ordinary_neighbours_and_entries_of_removed_interfaces_are_left_out(kernel: Kernel) -> None:
    ordinary = neighbour(to(CONTAINER), flags=0, state=REACHABLE)
    assert listed(kernel, ordinary, neighbour(to(CONTAINER), index=9), neighbour()) == frozenset()


def test_an_entry_is_permanent_and_has_our_protocol(kernel: Kernel) -> None:
    add_proxy_neighbour("eth0", CONTAINER)
    expected = neighbour(to(CONTAINER), by(166), state=PERMANENT)
    assert kernel.commands == [(0, NEWNEIGH, CREATE_EXCLUSIVELY, expected)]


def test_an_existing_entry_is_left_as_it_is(kernel: Kernel) -> None:
    kernel.objects = [neighbour(to(CONTAINER), by(77))]
    add_proxy_neighbour("eth0", CONTAINER)
    assert kernel.commands == []


def test_nothing_is_added_if_the_entry_cannot_be_read(kernel: Kernel) -> None:
    kernel.errors[GETNEIGH] = errno.ENODEV
    with pytest.raises(OSError, match="No such device"):
        add_proxy_neighbour("eth0", CONTAINER)
    assert kernel.commands == []


def test_an_entry_is_removed_by_its_address(kernel: Kernel) -> None:
    remove_proxy_neighbour("eth0", CONTAINER)
    assert kernel.commands == [(0, DELNEIGH, 0, neighbour(to(CONTAINER)))]


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENODEV])
def test_removing_a_missing_entry_is_not_an_error(kernel: Kernel, code: int) -> None:
    kernel.errors[DELNEIGH] = code
    remove_proxy_neighbour("eth0", CONTAINER)


def test_removing_from_a_missing_interface_is_not_an_error(kernel: Kernel) -> None:
    remove_proxy_neighbour("gone0", CONTAINER)
    assert kernel.commands == []


def test_other_errors_of_a_removal_are_raised(kernel: Kernel) -> None:
    kernel.errors[DELNEIGH] = errno.EPERM
    with pytest.raises(PermissionError):
        remove_proxy_neighbour("eth0", CONTAINER)
