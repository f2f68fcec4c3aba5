import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address

import pytest

from dockerv6.hostnet import conntrack
from dockerv6.lib import netlink
from tests.unit.lib.test_netlink import attribute, message

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
    """A flow that is translated from this port to 53 of a container."""
    reply = flow_tuple(2, (CONTAINER, 53), (CLIENT, 40000), protocol)
    status = attribute(3, struct.pack(">I", 8))
    return IPV6 + original(port, protocol) + reply + status + ID + attribute(7, struct.pack(">I", 29))


@dataclass
class Kernel:
    entries: list[bytes] = field(default_factory=list)
    searches: list[bytes] = field(default_factory=list)
    deleted: list[bytes] = field(default_factory=list)
    error: OSError | None = None

    def stream(self, protocol: int, kind: int, body: bytes) -> list[tuple[bytes, int, int]]:
        assert (protocol, kind) == (12, 0x101)
        if self.error is not None:
            raise self.error
        self.searches.append(body)
        datagram = b"".join(message(0x100, payload) for payload in self.entries)
        return [(datagram, start, end) for _, start, end in netlink.messages(datagram)]

    def command_each(self, protocol: int, kind: int, bodies: Sequence[bytes], *, tolerated: int) -> int:
        assert (protocol, kind, tolerated) == (12, 0x102, errno.ENOENT)
        self.deleted += bodies
        return len(bodies)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(conntrack, "stream", made.stream)
    monkeypatch.setattr(conntrack, "command_each", made.command_each)
    return made


def test_a_flow_is_deleted_by_its_original_tuple(kernel: Kernel) -> None:
    kernel.entries = [entry(5353), entry(5354)]
    assert conntrack.delete_udp_flows([5354], OWN) == 1
    assert kernel.deleted == [IPV6 + original(5354)]


def test_the_port_after_translation_does_not_count(kernel: Kernel) -> None:
    kernel.entries = [entry(5353)]
    assert conntrack.delete_udp_flows([53, 40000], OWN) == 0


@pytest.mark.parametrize("protocol", [TCP, ICMPV6])
def test_other_protocols_stay_when_the_kernel_lists_them(kernel: Kernel, protocol: int) -> None:
    kernel.entries = [entry(5353, protocol)]
    assert conntrack.delete_udp_flows([5353], OWN) == 0


def test_a_zone_is_part_of_what_names_a_flow(kernel: Kernel) -> None:
    zone = attribute(18, struct.pack(">H", 7))
    kernel.entries = [entry(5353) + zone]
    conntrack.delete_udp_flows([5353], OWN)
    assert kernel.deleted == [IPV6 + original(5353) + zone]


def test_a_zone_of_one_direction_stays_in_the_tuple(kernel: Kernel) -> None:
    tuple_ = original(5353, UDP, attribute(3, struct.pack(">H", 7)))
    kernel.entries = [IPV6 + tuple_ + ID]
    conntrack.delete_udp_flows([5353], OWN)
    assert kernel.deleted == [IPV6 + tuple_]


def test_a_flow_that_is_listed_twice_is_deleted_once(kernel: Kernel) -> None:
    kernel.entries = [entry(5353)] * 2
    assert conntrack.delete_udp_flows([5353], OWN) == 1


def test_the_kernel_looks_for_few_ports_itself(kernel: Kernel) -> None:
    conntrack.delete_udp_flows([5353], OWN)
    like = attribute(1, bytes((UDP,))) + attribute(3, struct.pack(">H", 5353))
    significant = attribute(NESTED | 25, attribute(1, struct.pack("=I", 1 << 3 | 1 << 5)))
    assert kernel.searches == [IPV6 + attribute(NESTED | 1, attribute(NESTED | 2, like)) + significant]


def test_for_many_ports_it_lists_udp_once(kernel: Kernel) -> None:
    kernel.entries = [entry(port) for port in range(5000, 5020)]
    assert conntrack.delete_udp_flows(range(5005, 5015), OWN) == 10
    significant = attribute(NESTED | 25, attribute(1, struct.pack("=I", 1 << 3)))
    like = attribute(NESTED | 1, attribute(NESTED | 2, attribute(1, bytes((UDP,)))))
    assert kernel.searches == [IPV6 + like + significant]


def test_flows_to_the_same_port_elsewhere_stay(kernel: Kernel) -> None:
    kernel.entries = [entry(53)]
    assert conntrack.delete_udp_flows([53], [IPv6Address("2001:db8::3"), IPv6Address(CLIENT)]) == 0
    assert conntrack.delete_udp_flows([53], [IPv6Address("2001:db8::3"), IPv6Address(HOST)]) == 1


def test_the_address_after_translation_does_not_count(kernel: Kernel) -> None:
    kernel.entries = [entry(5353)]
    assert conntrack.delete_udp_flows([5353], [IPv6Address(CONTAINER)]) == 0


def test_for_no_port_or_no_address_the_kernel_is_not_asked(kernel: Kernel) -> None:
    assert conntrack.delete_udp_flows((), OWN) == 0
    assert conntrack.delete_udp_flows([5353], ()) == 0
    assert kernel.searches == []


@pytest.mark.parametrize("absent", [errno.EINVAL, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP])
def test_a_kernel_without_conntrack_has_no_flows(kernel: Kernel, absent: int) -> None:
    kernel.error = OSError(absent, "absent")
    assert conntrack.delete_udp_flows([5353], OWN) == 0


def test_a_refusal_is_raised(kernel: Kernel) -> None:
    kernel.error = OSError(errno.EPERM, "Operation not permitted")
    with pytest.raises(PermissionError):
        conntrack.delete_udp_flows([5353], OWN)


@pytest.mark.parametrize("size", range(4, 100, 4))
def test_an_entry_that_was_cut_off_is_no_flow_of_a_port_or_a_whole_one(kernel: Kernel, size: int) -> None:
    kernel.entries = [entry(5353)[:size]]
    assert conntrack.delete_udp_flows([5353], OWN) == int(size >= len(IPV6 + original(5353)))
