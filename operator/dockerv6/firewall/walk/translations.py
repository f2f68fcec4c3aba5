"""What rules that translate addresses do to a packet. Pure."""

from dataclasses import dataclass

from dockerv6.firewall.walk.bits import Bits, exact, unknown
from dockerv6.firewall.walk.packet import ADDRESS_SIZE, PORT_SIZE, TCP, UDP, Packet, Paths

NETMAP = 0x40  # NF_NAT_RANGE_NETMAP
_PORTED = frozenset({TCP, UDP, 132})
_LOOPBACK = (1).to_bytes(ADDRESS_SIZE, "big")


@dataclass(frozen=True, slots=True)
class Target:
    """A range of addresses and a range of ports to choose from; None: as they are."""

    first: Bits | None
    last: Bits | None
    low: Bits | None = None
    high: Bits | None = None
    flags: int = 0


def translate(packet: Packet, target: Target, *, destination: bool) -> Packet:
    """Replace the source, or the destination."""
    old = packet.destination if destination else packet.source
    address = _address(old, target)
    port = _port(packet, target)
    return packet.with_destination(address, port) if destination else packet.with_source(address, port)


def masquerade(packet: Packet, paths: Paths, target: Target) -> Packet:
    """Replace the source by an address of the interface that the packet leaves by."""
    return packet.with_source(paths.source_behind(packet.oif), _port(packet, target))


def redirect(packet: Packet, paths: Paths, target: Target) -> Packet:
    """Replace the destination by the host itself."""
    if packet.iif is None:
        return packet.with_destination(exact(_LOOPBACK), _port(packet, target))
    own = [address for address, name in paths.addresses.items() if name == packet.iif.name]
    address = exact(own[0].packed) if own else unknown(ADDRESS_SIZE)
    return packet.with_destination(address, _port(packet, target))


def _address(old: Bits, target: Target) -> Bits:
    first, last = target.first, target.last
    if first is None or last is None:
        return old
    if target.flags & NETMAP:
        return _mapped(old, first, last)
    return first if first == last else unknown(ADDRESS_SIZE)


def _mapped(old: Bits, first: Bits, last: Bits) -> Bits:
    """The prefix of the range, with the rest of the address (nf_nat_range_... with NF_NAT_RANGE_NETMAP)."""
    if not (old.exact and first.exact and last.exact):
        return unknown(ADDRESS_SIZE)
    old_bits, low, high = (int.from_bytes(each.data, "big") for each in (old, first, last))
    hosts = low ^ high
    return exact(((low & ~hosts) | (old_bits & hosts)).to_bytes(ADDRESS_SIZE, "big"))


def _port(packet: Packet, target: Target) -> Bits | None:
    if target.low is None or packet.protocol not in _PORTED:
        return None
    return target.low if target.low == target.high else unknown(PORT_SIZE)
