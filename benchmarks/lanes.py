"""Paths through a stage that are measured in turns: their rates, and the ratios of adjacent turns."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmarks.rows import Row
from dockerv6.firewall.diff import diff
from dockerv6.firewall.nftables.backend import NftablesFirewall
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.render import render

if TYPE_CHECKING:
    from ipaddress import IPv6Address

    from benchmarks.stage import Host, Protocol, Stage
    from dockerv6.firewall.model import FirewallIntent
    from dockerv6.firewall.port import FirewallBackend

_SLICE = 0.2  # seconds


@dataclass(slots=True)
class Lane:
    """One path, and its measured rates, turn by turn."""

    host: Host
    target: IPv6Address
    port: int
    rates: dict[Protocol, list[float]] = field(default_factory=dict)
    lost: int = 0

    def measure(self, stage: Stage, protocol: Protocol) -> None:
        """Measure one slice of new flows through a host without tracked flows."""
        flood = stage.flood(self.host, protocol, _SLICE, self.target, self.port)
        self.rates.setdefault(protocol, []).append(flood.rate)
        self.lost += flood.lost


def rate_row(what: str, lane: Lane, protocol: Protocol) -> Row:
    """The median of a lane's rates."""
    rates = lane.rates[protocol]
    lost = f", {lane.lost} unanswered" if lane.lost else ""
    return Row(what, statistics.median(rates), "/s", note=f"{min(rates):.0f} to {max(rates):.0f}{lost}")


def ratio_row(what: str, above: list[float], below: list[float], floor: float | None = None) -> Row:
    """The median of the ratios of adjacent turns."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    note = f"{len(ratios)} pairs, {min(ratios):.2f} to {max(ratios):.2f}"
    return Row(what, statistics.median(ratios), "x", floor=floor, note=note)


def write_nftables(host: Host, intent: FirewallIntent) -> None:
    """Write the ruleset to a host, with the real backend."""

    async def write() -> None:
        session = NftSession()
        try:
            await apply(NftablesFirewall(session), intent)
        finally:
            await session.close()

    with host.namespace.entered():
        asyncio.run(write())


async def apply(firewall: FirewallBackend, intent: FirewallIntent) -> None:
    """Write the rules of an intent with a backend."""
    known = intent if not firewall.matches_link_kinds else replace(intent, guest_bridges=None)
    await firewall.apply(diff(render(known), await firewall.observe()))
