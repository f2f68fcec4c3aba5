import errno
import struct
from ipaddress import IPv6Address

import pytest

from dockerv6.hostnet import conntrack
from tests.unit.hostnet.kernel import Kernel
from tests.unit.lib.encoding import attribute

NESTED = 0x8000
TCP, UDP, ICMPV6 = 6, 17, 58
IPV6 = bytes((10, 0, 0, 0))
CLIENT, HOST, CONTAINER = (IPv6Address(text).packed for text in ("2001:db8::2", "2001:db8::1", "fd12::2"))
OWN = [IPv6Address(HOST), IPv6Address("::1")]
ID = attribute(12, b"\1\2\3\4")


def flow_tuple(kind: int, source: tuple[bytes, int], to: tuple[bytes, int], protocol: int, *more: bytes) -> bytes:
    addresses = attribute(3, source[0]) + attribute(4, to[0])
    ports = attribute(2, struct.pack(">H", source[1])) + attribute(3, struct.pack(">H", to[1]))
    ends = attribute(NESTED | 1, addresses) + attribute(NESTED | 2, attribute(1, bytes((protocol,))) + ports)
    return attribute(NESTED | kind, ends + b"".join(more))


def original(port: int, protocol: int = UDP, *more: bytes) -> bytes:
    return flow_tuple(1, (CLIENT, 40000), (HOST, port), protocol, *more)


def entry(port: int, protocol: int = UDP) -> bytes:
    """A flow with DNAT from this port to port 53 of a container."""
    reply = flow_tuple(2, (CONTAINER, 53), (CLIENT, 40000), protocol)
    status = attribute(3, struct.pack(">I", 8))
    return IPV6 + original(port, protocol) + reply + status + ID + attribute(7, struct.pack(">I", 29))


GET, DELETE = 0x101, 0x102
NETFILTER = 12


def deleted(kernel: Kernel) -> list[bytes]:
    assert all(command[:3] == (NETFILTER, DELETE, 0) for command in kernel.commands)
    return [payload for *_, payload in kernel.commands]


def requested(kernel: Kernel) -> list[bytes]:
    assert all(request[:2] == (NETFILTER, GET) for request in kernel.requests)
    return [payload for *_, payload in kernel.requests]


def test_a_flow_is_deleted_by_its_original_tuple(kernel: Kernel) -> None:
    kernel.dumps[GET] = [entry(5353), entry(5354)]
    assert conntrack.delete_udp_flows([5354], OWN) == 1
    assert deleted(kernel) == [IPV6 + original(5354)]


def test_the_port_after_translation_is_irrelevant(kernel: Kernel) -> None:
    kernel.dumps[GET] = [entry(5353)]
    assert conntrack.delete_udp_flows([53, 40000], OWN) == 0


@pytest.mark.parametrize("protocol", [TCP, ICMPV6])
def test_flows_of_other_protocols_are_kept_even_if_the_kernel_lists_them(kernel: Kernel, protocol: int) -> None:
    kernel.dumps[GET] = [entry(5353, protocol)]
    assert conntrack.delete_udp_flows([5353], OWN) == 0


def test_the_zone_is_part_of_a_flows_identity(kernel: Kernel) -> None:
    zone = attribute(18, struct.pack(">H", 7))
    kernel.dumps[GET] = [entry(5353) + zone]
    conntrack.delete_udp_flows([5353], OWN)
    assert deleted(kernel) == [IPV6 + original(5353) + zone]


def test_a_zone_of_one_direction_stays_in_the_tuple(kernel: Kernel) -> None:
    tuple_ = original(5353, UDP, attribute(3, struct.pack(">H", 7)))
    kernel.dumps[GET] = [IPV6 + tuple_ + ID]
    conntrack.delete_udp_flows([5353], OWN)
    assert deleted(kernel) == [IPV6 + tuple_]


def test_a_flow_that_is_listed_twice_is_deleted_once(kernel: Kernel) -> None:
    kernel.dumps[GET] = [entry(5353)] * 2
    assert conntrack.delete_udp_flows([5353], OWN) == 1


def test_the_kernel_filters_by_a_few_ports(kernel: Kernel) -> None:
    conntrack.delete_udp_flows([5353], OWN)
    like = attribute(1, bytes((UDP,))) + attribute(3, struct.pack(">H", 5353))
    significant = attribute(NESTED | 25, attribute(1, struct.pack("=I", 1 << 3 | 1 << 5)))
    assert requested(kernel) == [IPV6 + attribute(NESTED | 1, attribute(NESTED | 2, like)) + significant]


def test_for_many_ports_all_udp_flows_are_requested_once(kernel: Kernel) -> None:
    kernel.dumps[GET] = [entry(port) for port in range(5000, 5020)]
    assert conntrack.delete_udp_flows(range(5005, 5015), OWN) == 10
    significant = attribute(NESTED | 25, attribute(1, struct.pack("=I", 1 << 3)))
    like = attribute(NESTED | 1, attribute(NESTED | 2, attribute(1, bytes((UDP,)))))
    assert requested(kernel) == [IPV6 + like + significant]


def test_flows_to_the_same_port_of_other_addresses_are_kept(kernel: Kernel) -> None:
    kernel.dumps[GET] = [entry(53)]
    assert conntrack.delete_udp_flows([53], [IPv6Address("2001:db8::3"), IPv6Address(CLIENT)]) == 0
    assert conntrack.delete_udp_flows([53], [IPv6Address("2001:db8::3"), IPv6Address(HOST)]) == 1


def test_the_address_after_translation_is_irrelevant(kernel: Kernel) -> None:
    kernel.dumps[GET] = [entry(5353)]
    assert conntrack.delete_udp_flows([5353], [IPv6Address(CONTAINER)]) == 0


def test_without_ports_or_addresses_nothing_is_requested(kernel: Kernel) -> None:
    assert conntrack.delete_udp_flows((), OWN) == 0
    assert conntrack.delete_udp_flows([5353], ()) == 0
    assert requested(kernel) == []


@pytest.mark.parametrize("absent", [errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP])
def test_a_kernel_without_conntrack_has_no_flows(kernel: Kernel, absent: int) -> None:
    kernel.errors[GET] = absent
    assert conntrack.delete_udp_flows([5353], OWN) == 0


def test_other_errors_are_raised(kernel: Kernel) -> None:
    kernel.errors[GET] = errno.EPERM
    with pytest.raises(PermissionError):
        conntrack.delete_udp_flows([5353], OWN)


@pytest.mark.parametrize("size", range(4, 100, 4))
def test_a_truncated_entry_matches_only_if_its_tuple_is_complete(kernel: Kernel, size: int) -> None:
    kernel.dumps[GET] = [entry(5353)[:size]]
    assert conntrack.delete_udp_flows([5353], OWN) == int(size >= len(IPV6 + original(5353)))
