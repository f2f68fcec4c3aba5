"""The ledger: who holds which subnet, durably, by compare-and-swap.

Errors::

    LedgerError          disk full, damaged file, newer schema, …; the message holds the remedy
    ├── LedgerConflict   somebody else wrote first: read again, decide again
    └── SubnetTaken      another owner's allocation, bound or cooling, overlaps; carries it
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Network
from typing import Protocol


class AllocationState(StrEnum):
    """Whether an allocation is in use or waiting out its pool's cooldown."""

    BOUND = "bound"
    COOLING = "cooling"


@dataclass(frozen=True, slots=True)
class Allocation:
    """A subnet that an owner holds, or held until lately.

    ``pool`` is "" for a subnet that the user fixed. ``revision`` grows with every write of the row, and no two rows
    ever have the same one; a later write must present the one that it saw. ``since`` (Unix seconds) is when the state
    began.
    """

    owner: str
    pool: str
    prefix: IPv6Network
    state: AllocationState
    since: float
    revision: int


@dataclass(frozen=True, slots=True)
class PoolPrefix:
    """A generated pool's prefix: chosen once, kept for ever."""

    pool: str
    prefix: IPv6Network


class LedgerError(Exception):
    """The ledger can't do it."""


class LedgerConflict(LedgerError):  # noqa: N818 - named for what happened
    """The revision presented is stale."""


class SubnetTaken(LedgerError):  # noqa: N818 - named for what happened
    """Another owner holds an overlapping subnet."""

    def __init__(self, holder: Allocation) -> None:
        super().__init__(f"{holder.prefix} is held by {holder.owner}")
        self.holder = holder


class Ledger(Protocol):
    """Durable before it returns. An owner has at most one BOUND allocation; several may be cooling."""

    async def allocations(self) -> tuple[Allocation, ...]:
        """Every allocation, bound and cooling, ordered by prefix."""

    async def bind(self, owner: str, pool: str, prefix: IPv6Network, now: float, *, revision: int | None) -> Allocation:
        """Give the owner this subnet.

        ``revision`` is the revision of the owner's present bound allocation, None when it has none; the present one, if
        its prefix differs, starts cooling in the same transaction. An owner's own cooling subnet may be bound again.
        The same owner, pool and prefix again is success and writes nothing, whatever revision is given. The owner's own
        allocations never stand in its way. Raises `LedgerConflict`, `SubnetTaken`.
        """

    async def release(self, allocation: Allocation, now: float) -> None:
        """Start the cooldown. A stale revision raises `LedgerConflict`; already gone or cooling is success."""

    async def forget(self, allocation: Allocation) -> None:
        """Drop a cooling row for good (its cooldown is over); already gone is success.

        A stale revision, or a row that is bound, raises `LedgerConflict`.
        """

    async def pool_prefixes(self) -> tuple[PoolPrefix, ...]:
        """The generated prefixes."""

    async def keep_pool_prefix(self, pool: str, prefix: IPv6Network) -> PoolPrefix:
        """Keep a generated prefix unless the pool has one already; returns the one that is kept."""

    async def close(self) -> None:
        """Wait for the writes under way, then let go of the file."""
