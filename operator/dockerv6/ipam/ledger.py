"""The ledger: durable allocations of subnets to owners, written by compare-and-swap.

Errors::

    LedgerError          disk full, damaged file, newer schema, …; the message holds the remedy
    ├── LedgerConflict   the revision is stale: read the ledger and decide again
    └── SubnetTaken      a bound or cooling allocation of another owner overlaps; carries it
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Network
from typing import Protocol

UNKNOWN_TIME = 1e11
"""The start of a state whose row is damaged, in Unix seconds. It is in the future, which counts as the present."""


class AllocationState(StrEnum):
    """Whether an allocation is in use or in its pool's cooldown."""

    BOUND = "bound"
    COOLING = "cooling"


@dataclass(frozen=True, slots=True)
class Allocation:
    """A subnet that belongs to an owner, now or until its cooldown is over.

    Attributes:
        owner: the resource's name.
        pool: the pool's name; "" for a subnet that the user fixed.
        prefix: the subnet.
        state: bound or cooling.
        since: Unix seconds at which the state began.
        revision: grows with every write of the row; no two rows ever have the same one. A later write must present
            the revision that it read.
    """

    owner: str
    pool: str
    prefix: IPv6Network
    state: AllocationState
    since: float
    revision: int


@dataclass(frozen=True, slots=True)
class PoolPrefix:
    """The prefix of a pool with ``generate: ULA``: chosen once, kept for ever."""

    pool: str
    prefix: IPv6Network


class LedgerError(Exception):
    """The ledger can't be read or written."""


class LedgerConflict(LedgerError):  # noqa: N818 - named for the condition
    """The given revision is stale."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was modified concurrently: read the ledger again")


class SubnetTaken(LedgerError):  # noqa: N818 - named for the condition
    """Another owner's allocation overlaps the subnet."""

    def __init__(self, holder: Allocation) -> None:
        super().__init__(f"{holder.prefix} is allocated to {holder.owner}")
        self.holder = holder


class Ledger(Protocol):
    """Every write is durable before it returns. An owner has at most one BOUND allocation; several may be cooling."""

    async def allocations(self) -> tuple[Allocation, ...]:
        """List every allocation, bound and cooling, ordered by prefix."""

    async def bind(self, owner: str, pool: str, prefix: IPv6Network, now: float, *, revision: int | None) -> Allocation:
        """Bind the subnet to the owner.

        The owner's previous bound subnet, if different, starts cooling in the same transaction. A cooling subnet of the
        same owner can be bound again. Repeating the same owner, pool and prefix succeeds and writes nothing, whatever
        the revision. The owner's own allocations never conflict.

        Args:
            owner: the resource's name.
            pool: the pool's name; "" for a subnet that the user fixed.
            prefix: the subnet.
            now: Unix seconds.
            revision: of the owner's bound allocation as last read; None when it has none.

        Raises:
            LedgerConflict: the revision is stale.
            SubnetTaken: another owner's allocation overlaps.
        """

    async def release(self, allocation: Allocation, now: float) -> None:
        """Start the cooldown; an allocation that is gone or already cooling is success.

        Raises:
            LedgerConflict: the allocation's revision is stale.
        """

    async def forget(self, allocation: Allocation) -> None:
        """Delete a cooling allocation; one that is gone is success.

        Raises:
            LedgerConflict: the allocation's revision is stale, or it is bound.
        """

    async def pool_prefixes(self) -> tuple[PoolPrefix, ...]:
        """List the generated prefixes, ordered by pool."""

    async def keep_pool_prefix(self, pool: str, prefix: IPv6Network) -> PoolPrefix:
        """Store a generated prefix unless the pool has one; return the stored one."""

    @property
    def problems(self) -> tuple[str, ...]:
        """The rows that could not be read when the file was opened, and why. They affect no other row.

        A damaged allocation whose prefix is readable is listed as cooling, from ``UNKNOWN_TIME`` on.
        """

    async def close(self) -> None:
        """Finish pending writes, then close the file."""
