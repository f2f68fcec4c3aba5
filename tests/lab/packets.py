"""Packets counted at both ends of a path: the difference is what was dropped in between.

TCP hides a drop, because it sends the segment again. Its retransmissions don't prove one either: on a busy machine
the retransmission timer also expires when nothing was lost.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]

_TABLE = "packet_count"
# after every filter, so that only what really leaves or arrives is counted
_RULESET = """
table inet {table} {{
    counter sent {{ }}
    counter received {{ }}
    chain output {{
        type filter hook postrouting priority 300;
        tcp dport {port} counter name "sent"
        tcp sport {port} counter name "sent"
    }}
    chain input {{
        type filter hook input priority 300;
        tcp dport {port} counter name "received"
        tcp sport {port} counter name "received"
    }}
}}
"""
_IN_FLIGHT = 3.0
_INTERVAL = 0.05


@dataclass(frozen=True, slots=True)
class PacketCount:
    """Counters of one TCP port at both ends of a path. A `Run` runs programs in the network namespace of one end."""

    near: Run
    far: Run

    def dropped(self) -> int:
        """Return how many packets were sent by one end and have not arrived at the other.

        Packets that are still in flight get a few seconds to arrive.
        """
        deadline = time.monotonic() + _IN_FLIGHT
        while (missing := self._missing()) and time.monotonic() < deadline:
            time.sleep(_INTERVAL)
        return missing

    def _missing(self) -> int:
        near, far = _counters(self.near), _counters(self.far)
        return abs(near["sent"] - far["received"]) + abs(far["sent"] - near["received"])


@contextmanager
def count_packets(near: Run, far: Run, port: int) -> Iterator[PacketCount]:
    """Count the packets of a TCP port at both ends for the block. Begin before the first packet is sent."""
    ruleset = _RULESET.format(table=_TABLE, port=port)
    for end in (near, far):
        end("nft", ruleset)
    try:
        yield PacketCount(near, far)
    finally:
        for end in (near, far):
            end("nft", "delete", "table", "inet", _TABLE, check=False)


def _counters(run: Run) -> dict[str, int]:
    listing = json.loads(run("nft", "-j", "list", "counters", "table", "inet", _TABLE).stdout)
    counters = (entry["counter"] for entry in listing["nftables"] if "counter" in entry)
    return {counter["name"]: counter["packets"] for counter in counters}
