"""A ledger in memory, for `dockerv6 plan` and for tests. Its contents are lost at exit."""

from dataclasses import replace
from ipaddress import IPv6Network

from dockerv6.ipam.ledger import Allocation, AllocationState, LedgerConflict, PoolPrefix, SubnetTaken


class MemoryLedger:
    """A `Ledger` with the semantics of `SqliteLedger`."""

    def __init__(self) -> None:
        """Start empty."""
        self._held: dict[IPv6Network, Allocation] = {}
        self._pools: dict[str, IPv6Network] = {}
        self._revision = 0

    async def allocations(self) -> tuple[Allocation, ...]:
        """List every allocation, ordered by prefix."""
        return tuple(self._held[prefix] for prefix in sorted(self._held))

    async def bind(self, owner: str, pool: str, prefix: IPv6Network, now: float, *, revision: int | None) -> Allocation:
        """Bind the subnet to the owner."""
        present = self._bound(owner)
        if present is not None and (present.pool, present.prefix) == (pool, prefix):
            return present
        if revision != (present.revision if present else None):
            raise LedgerConflict(f"the allocation of {owner}")
        for other in await self.allocations():
            if other.owner != owner and other.prefix.overlaps(prefix):
                raise SubnetTaken(other)
        since = now
        if present is not None and present.prefix == prefix:
            since = present.since
        elif present is not None:
            self._write(replace(present, state=AllocationState.COOLING, since=now))
        return self._write(Allocation(owner, pool, prefix, AllocationState.BOUND, since, 0))

    async def release(self, allocation: Allocation, now: float) -> None:
        """Start the cooldown."""
        row = self._row(allocation)
        if row is None or row.state is AllocationState.COOLING:
            return
        if row.revision != allocation.revision:
            raise LedgerConflict(f"{row.prefix} of {row.owner}")
        self._write(replace(row, state=AllocationState.COOLING, since=now))

    async def forget(self, allocation: Allocation) -> None:
        """Delete a cooling allocation."""
        row = self._row(allocation)
        if row is None:
            return
        if row.revision != allocation.revision or row.state is AllocationState.BOUND:
            raise LedgerConflict(f"{row.prefix} of {row.owner}")
        del self._held[row.prefix]

    async def pool_prefixes(self) -> tuple[PoolPrefix, ...]:
        """List the generated prefixes, ordered by pool."""
        return tuple(PoolPrefix(pool, self._pools[pool]) for pool in sorted(self._pools))

    async def keep_pool_prefix(self, pool: str, prefix: IPv6Network) -> PoolPrefix:
        """Store a generated prefix unless the pool has one."""
        return PoolPrefix(pool, self._pools.setdefault(pool, prefix))

    @property
    def problems(self) -> tuple[str, ...]:
        """None: nothing here can be damaged."""
        return ()

    async def close(self) -> None:
        """Do nothing: no file is open."""

    def _bound(self, owner: str) -> Allocation | None:
        rows = (row for row in self._held.values() if row.owner == owner and row.state is AllocationState.BOUND)
        return next(rows, None)

    def _row(self, allocation: Allocation) -> Allocation | None:
        row = self._held.get(allocation.prefix)
        return row if row is not None and row.owner == allocation.owner else None

    def _write(self, allocation: Allocation) -> Allocation:
        self._revision += 1
        written = replace(allocation, revision=self._revision)
        self._held[written.prefix] = written
        return written
