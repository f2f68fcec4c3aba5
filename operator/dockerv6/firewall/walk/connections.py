"""What connection tracking does to packets: it sees them, and translates later packets as the first one. Pure."""

from dataclasses import replace

from dockerv6.firewall.walk.bits import Bits
from dockerv6.firewall.walk.packet import (
    DESTINATION_TRANSLATED,
    SOURCE_TRANSLATED,
    Endpoints,
    Packet,
    Tracking,
)

LOOPBACK = "lo"
_DESTINATION_HOOKS = frozenset({"prerouting", "output"})
"""In which destinations are translated; sources are in the others."""


def loops(packet: Packet) -> bool:
    """Whether the host has sent the packet to itself. Then it was translated when it left."""
    return packet.iif is not None and packet.iif.name == LOOPBACK


def tracked(packet: Packet) -> Packet:
    """The packet behind connection tracking."""
    return packet if packet.tracking is Tracking.UNTRACKED else replace(packet, tracking=Tracking.TRACKED)


def with_translation_noted(before: Packet, after: Packet) -> Packet:
    """A flow's first packet after the chains that translate: `ct status` shows whether they have changed it."""
    old, new = before.endpoints, after.endpoints
    for bit, was, now in (
        (SOURCE_TRANSLATED, (old.source, old.sport), (new.source, new.sport)),
        (DESTINATION_TRANSLATED, (old.destination, old.dport), (new.destination, new.dport)),
    ):
        if was != now:
            certain = all(_same(*pair) is not None for pair in zip(was, now, strict=True))
            after = after.with_status(bit, True if certain else None)
    return after


def _same(was: Bits, now: Bits) -> bool | None:
    return was == now or (now.equals(was.data) if was.exact else None)


def translated_as_before(packet: Packet, hook: str) -> Packet:
    """A later packet of a flow, translated as the first one was."""
    ends: Endpoints = packet.original if packet.reply else packet.replied
    if hook in _DESTINATION_HOOKS:
        return packet.with_destination(ends.source, ends.sport)
    return packet.with_source(ends.destination, ends.dport)
