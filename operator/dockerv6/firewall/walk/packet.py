"""The packets of a representative flow, as filters see them: headers, interfaces, marks, and the connection's state.

A flow is followed by its first three packets: the one that begins it, the reply, and the next one, which belongs to an
established connection. What a filter can read and is the same for every packet of such a flow is known; the rest, such
as a sequence number or a user's id, is unknown.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network

from dockerv6.firewall.walk.bits import Answer, Bits, alike, exact, unknown

TCP, UDP, ICMPV6 = 6, 17, 58
NEW, ESTABLISHED, INVALID, UNTRACKED = 8, 2, 1, 64
"""Bits of `ct state` (NF_CT_STATE_BIT)."""

SEEN_REPLY, CONFIRMED, SOURCE_TRANSLATED, DESTINATION_TRANSLATED = 2, 8, 16, 32
"""Bits of `ct status` (IPS_* of linux/netfilter/nf_conntrack_common.h)."""

SOURCE_PORT = 50_000
"""Of every flow; a dynamic port (RFC 6335)."""

SOURCE_AT, DESTINATION_AT, ADDRESS_SIZE, PORT_SIZE = 8, 24, 16, 2
_HOST = struct.Struct("=I")
_ZERO = exact(bytes(4))
_SYN, _ACK = 0x02, 0x10
_FLAGS_AT = 13


class Tracking(StrEnum):
    """What connection tracking knows of a packet."""

    BEFORE = "before"  # it has not seen the packet yet
    TRACKED = "tracked"
    UNTRACKED = "untracked"  # a rule has excluded the packet


INTERNET = IPv6Address("2001:503:ba3e::2:30")
"""Of the internet: a.root-servers.net (RFC 7720 asks for stable addresses). Nothing is sent there."""

INTERNET_PREFIX = IPv6Network("2000::/3")
"""The global unicast addresses that IANA assigns (RFC 4291, 2.4)."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. `kind` is empty for one that has none, such as loopback and physical interfaces."""

    name: str
    index: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the host sends packets.

    Attributes:
        links: its interfaces by name.
        routes: destinations with the interfaces that lead there, the preferred one first.
        addresses: the host's own addresses, each with its interface.
        bridge_filtered: bridges whose frames pass the IPv6 filters (br_netfilter).
        containers: the addresses of running containers.
    """

    links: Mapping[str, Link] = field(default_factory=dict)
    routes: tuple[tuple[IPv6Network, str], ...] = ()
    addresses: Mapping[IPv6Address, str] = field(default_factory=dict)
    bridge_filtered: frozenset[str] = frozenset()
    containers: frozenset[IPv6Address] = frozenset()

    def is_local(self, address: Bits) -> Answer:
        """Whether it is an address of the host."""
        if address.exact:
            return IPv6Address(address.data) in self.addresses
        return None if any(address.equals(each.packed) is None for each in self.addresses) else False

    def route(self, address: Bits) -> Link | None:
        """The interface that leads to an address; None: it isn't known."""
        found = self.routes_to(address)
        return self.links.get(found[0]) if found else None

    def routes_to(self, address: Bits) -> tuple[str, ...]:
        """The interfaces by which an address can be reached, the longest prefix first; none if it isn't known."""
        if not address.exact:
            return ()
        wanted = IPv6Address(address.data)
        matching = [(prefix.prefixlen, link) for prefix, link in self.routes if wanted in prefix]
        longest = max((length for length, _ in matching), default=0)
        return tuple(link for length, link in matching if length == longest)

    def source_behind(self, link: Link | None) -> Bits:
        """The address that a packet gets that is masqueraded behind an interface: what its addresses have in common."""
        own = [exact(each.packed) for each, name in self.addresses.items() if link is not None and name == link.name]
        return alike(own) if own else unknown(ADDRESS_SIZE)


@dataclass(frozen=True, slots=True)
class Flow:
    """A representative flow.

    Attributes:
        owner: the resource that it belongs to.
        purpose: what it is, for people: "connections from the containers to the internet".
        source: of its first packet.
        destination: of its first packet.
        iif: the interface that the first packet comes in by; empty: the host sends it.
        protocol: `TCP`, `UDP` or another protocol's number.
        port: the destination port.
        bridged: it stays within a bridge.
        subnet: of the container that it comes from or leads to.
    """

    owner: str
    purpose: str
    source: IPv6Address
    destination: IPv6Address
    iif: str = ""
    protocol: int = TCP
    port: int = 0
    bridged: bool = False
    subnet: IPv6Network | None = None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses and ports of a packet."""

    source: Bits
    destination: Bits
    sport: Bits
    dport: Bits

    def reversed(self) -> "Endpoints":
        """Those of a reply."""
        return Endpoints(self.destination, self.source, self.dport, self.sport)


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet on its way.

    Attributes:
        network: its IPv6 header.
        transport: the first 20 bytes behind it.
        protocol: the transport protocol's number.
        iif: the interface that it came in by; None: the host has sent it.
        oif: the interface that it leaves by; None: not decided yet, or it is for the host.
        mark: its fwmark, in host byte order; so are `ct_mark` and `status`.
        tracking: what connection tracking knows of it.
        state: a bit of `ct state`, once it is tracked.
        reply: it goes in the reply direction.
        original: of the flow's first packet, before any translation.
        answered: of the reply, as it arrives; None for the flow's first packet.
        bridged: it stays within a bridge.
    """

    network: Bits
    transport: Bits
    protocol: int
    iif: Link | None
    oif: Link | None
    original: Endpoints
    answered: Endpoints | None = None
    mark: Bits = _ZERO
    ct_mark: Bits = _ZERO
    status: Bits = _ZERO
    tracking: Tracking = Tracking.BEFORE
    state: int = NEW
    reply: bool = False
    bridged: bool = False

    @property
    def source(self) -> Bits:
        """The source address."""
        return self.network.part(SOURCE_AT, ADDRESS_SIZE)

    @property
    def destination(self) -> Bits:
        """The destination address."""
        return self.network.part(DESTINATION_AT, ADDRESS_SIZE)

    @property
    def endpoints(self) -> Endpoints:
        """Its addresses and ports now."""
        return Endpoints(self.source, self.destination, self.transport.part(0, PORT_SIZE), self.transport.part(2, 2))

    @property
    def replied(self) -> Endpoints:
        """Addresses and ports of replies, as far as translations are decided."""
        return self.answered or self.endpoints.reversed()

    def with_source(self, address: Bits, port: Bits | None = None) -> "Packet":
        """From another source."""
        return self._changed(SOURCE_AT, address, 0, port)

    def with_destination(self, address: Bits, port: Bits | None = None) -> "Packet":
        """To another destination."""
        return self._changed(DESTINATION_AT, address, PORT_SIZE, port)

    def _changed(self, address_at: int, address: Bits, port_at: int, port: Bits | None) -> "Packet":
        transport = self.transport if port is None else self.transport.replaced(port_at, port)
        return replace(self, network=self.network.replaced(address_at, address), transport=transport)

    def with_status(self, bit: int, answer: Answer) -> "Packet":
        """With a bit of `ct status` set, or unknown."""
        data, known = (_HOST.unpack(part)[0] & ~bit for part in (self.status.data, self.status.known))
        set_bit, known_bit = bit if answer else 0, 0 if answer is None else bit
        return replace(self, status=Bits(_HOST.pack(data | set_bit), _HOST.pack(known | known_bit)))


def exact_address(address: IPv6Address) -> Bits:
    """An address in a header."""
    return exact(address.packed)


def first_packet(flow: Flow, paths: Paths) -> Packet:
    """The packet that begins a flow."""
    ends = Endpoints(
        exact_address(flow.source),
        exact_address(flow.destination),
        exact(SOURCE_PORT.to_bytes(2, "big")),
        exact(flow.port.to_bytes(2, "big")),
    )
    return Packet(
        _network(ends, flow.protocol),
        _transport(ends, flow.protocol, _SYN),
        flow.protocol,
        paths.links.get(flow.iif),
        None,
        ends,
        bridged=flow.bridged,
    )


def next_packets(first: Packet) -> tuple[Packet, Packet]:
    """The reply to a flow's first packet, as it arrives, and the packet after it.

    Args:
        first: where its way ended.
    """
    begun = replace(
        first,
        oif=None,
        mark=_ZERO,
        state=ESTABLISHED,
        tracking=Tracking.BEFORE,
        status=_later(first.status),
        answered=first.endpoints.reversed(),
    )
    back, there = first.endpoints.reversed(), first.original
    return (
        replace(
            begun,
            network=_network(back, first.protocol),
            transport=_transport(back, first.protocol, _SYN | _ACK),
            iif=first.oif,
            reply=True,
        ),
        replace(
            begun,
            network=_network(there, first.protocol),
            transport=_transport(there, first.protocol, _ACK),
        ),
    )


def _later(status: Bits) -> Bits:
    """The status of a flow that has been answered."""
    kept = SOURCE_TRANSLATED | DESTINATION_TRANSLATED
    data, known = (_HOST.unpack(part)[0] & kept for part in (status.data, status.known))
    certain = SEEN_REPLY | CONFIRMED
    return Bits(_HOST.pack(data | certain), _HOST.pack(known | certain))


def _network(ends: Endpoints, protocol: int) -> Bits:
    """RFC 8200, 3: version, traffic class and flow label, length, next header, hop limit, addresses."""
    head = Bits(bytes((0x60, 0, 0, 0, 0, 0, protocol, 0)), bytes((0xF0, 0, 0, 0, 0, 0, 0xFF, 0)))
    return Bits(
        head.data + ends.source.data + ends.destination.data, head.known + ends.source.known + ends.destination.known
    )


def _transport(ends: Endpoints, protocol: int, flags: int) -> Bits:
    rest = unknown(16)
    if protocol == TCP:
        rest = rest.replaced(_FLAGS_AT - 4, exact(bytes((flags,))))
    return Bits(ends.sport.data + ends.dport.data + rest.data, ends.sport.known + ends.dport.known + rest.known)
