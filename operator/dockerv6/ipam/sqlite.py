"""The durable ledger: tables in the state file, and a cache of them in memory.

The cache holds what is committed. Reads are served from it, because every reconcile reads the whole ledger. A write is
checked by SQL inside its transaction, never against the cache. When the two disagree because another process wrote to
the file, the write fails and the cache is read again.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

from dockerv6.ipam.ledger import Allocation, AllocationState, LedgerConflict, LedgerError, PoolPrefix, SubnetTaken
from dockerv6.ipam.tables import (
    SCHEMA,
    SELECT_ALLOCATIONS,
    all_allocations,
    all_pool_prefixes,
    decode_allocations,
    first_and_last,
)
from dockerv6.lib.database import CachedTables, Database
from dockerv6.lib.rows import DecodedRows, last_revision, set_revision, take_revisions

_LedgerContents = tuple[DecodedRows[Allocation], DecodedRows[PoolPrefix]]


class SqliteLedger(CachedTables):
    """A `Ledger` in the state file. The instance lock guarantees that one process has it open for writing."""

    def __init__(self, database: Database) -> None:
        """Start with an empty cache; `open` fills it."""
        super().__init__(database)
        self._held: dict[IPv6Network, Allocation] = {}
        self._ordered: tuple[Allocation, ...] | None = None
        self._pools: dict[str, PoolPrefix] = {}

    @classmethod
    async def open(cls, path: Path) -> "SqliteLedger":
        """Open the state file, creating it if needed, and read the ledger.

        Raises:
            LedgerError: the file can't be used; the message holds the remedy.
        """
        return await cls(await Database.open(path, SCHEMA, LedgerError)).filled()

    async def allocations(self) -> tuple[Allocation, ...]:
        """List every allocation, ordered by prefix."""
        if self._ordered is None:
            self._ordered = tuple(sorted(self._held.values(), key=_order))
        return self._ordered

    async def bind(self, owner: str, pool: str, prefix: IPv6Network, now: float, *, revision: int | None) -> Allocation:
        """Bind the subnet to the owner."""
        known = self._held.get(prefix)
        if known is not None and self._database.idle and _is_bound(known, owner, pool):
            return known

        def work(connection: sqlite3.Connection) -> list[Allocation]:
            return _bind(connection, Allocation(owner, pool, prefix, AllocationState.BOUND, now, 0), revision)

        try:
            return (await self._database.write(work, self._cache))[-1]
        except (LedgerConflict, SubnetTaken):
            await self.refresh()
            raise

    async def release(self, allocation: Allocation, now: float) -> None:
        """Start the cooldown."""

        def work(connection: sqlite3.Connection) -> list[Allocation]:
            return _release(connection, allocation, now)

        try:
            await self._database.write(work, self._cache)
        except LedgerConflict:
            await self.refresh()
            raise

    async def forget(self, allocation: Allocation) -> None:
        """Delete a cooling allocation."""

        def work(connection: sqlite3.Connection) -> IPv6Network | None:
            return _forget(connection, allocation)

        try:
            await self._database.write(work, self._uncache)
        except LedgerConflict:
            await self.refresh()
            raise

    async def pool_prefixes(self) -> tuple[PoolPrefix, ...]:
        """List the generated prefixes, ordered by pool."""
        return tuple(self._pools[pool] for pool in sorted(self._pools))

    async def keep_pool_prefix(self, pool: str, prefix: IPv6Network) -> PoolPrefix:
        """Store a generated prefix unless the pool has one."""
        if pool not in self._pools:

            def work(connection: sqlite3.Connection) -> tuple[PoolPrefix, ...]:
                kept = all_pool_prefixes(connection).values
                if any(each.pool == pool for each in kept):
                    return kept
                # a row that is damaged is replaced
                row = (pool, *first_and_last(prefix))
                connection.execute("INSERT OR REPLACE INTO ipam_pools VALUES (?, ?, ?)", row)
                return all_pool_prefixes(connection).values

            await self._database.write(work, self._cache_pool_prefixes)
        return self._pools[pool]

    def _write_all(self, connection: sqlite3.Connection) -> None:
        for held in self._held.values():
            _insert(connection, held)
        for pool in self._pools.values():
            connection.execute("INSERT INTO ipam_pools VALUES (?, ?, ?)", (pool.pool, *first_and_last(pool.prefix)))
        set_revision(connection, SCHEMA.component, last_revision(held.revision for held in self._held.values()))

    async def refresh(self) -> None:
        """Read the cache again."""

        def work(connection: sqlite3.Connection) -> _LedgerContents:
            return all_allocations(connection), all_pool_prefixes(connection)

        def on_done(found: _LedgerContents) -> None:
            allocations, pools = found
            self._held.clear()
            self._cache(allocations.values)
            self._cache_pool_prefixes(pools.values)
            self._problems = (*allocations.problems, *pools.problems)

        await self._database.read(work, on_done)

    def _cache(self, written: Sequence[Allocation]) -> None:
        self._held.update((allocation.prefix, allocation) for allocation in written)
        self._ordered = None

    def _uncache(self, prefix: IPv6Network | None) -> None:
        if prefix is not None:
            self._held.pop(prefix, None)
            self._ordered = None

    def _cache_pool_prefixes(self, pools: Sequence[PoolPrefix]) -> None:
        self._pools = {kept.pool: kept for kept in pools}


def _is_bound(allocation: Allocation, owner: str, pool: str) -> bool:
    return (allocation.owner, allocation.pool, allocation.state) == (owner, pool, AllocationState.BOUND)


def _order(allocation: Allocation) -> tuple[int, int]:
    """Sort key equivalent to the prefix itself, and ten times as fast to compare."""
    return int(allocation.prefix.network_address), allocation.prefix.prefixlen


def _bind(connection: sqlite3.Connection, wanted: Allocation, revision: int | None) -> list[Allocation]:
    present = _bound_to(connection, wanted.owner, wanted.since)
    if present is not None and (present.pool, present.prefix) == (wanted.pool, wanted.prefix):
        return [present]
    if revision != (present.revision if present else None):
        raise LedgerConflict(f"the allocation of {wanted.owner}")
    first, last = first_and_last(wanted.prefix)
    taken = _one(
        connection,
        "WHERE first <= ? AND last >= ? AND owner <> ? ORDER BY first, last DESC",
        (last, first, wanted.owner),
    )
    if taken is not None:
        raise SubnetTaken(taken)
    if present is None:
        return [_write(connection, wanted)]
    if present.prefix == wanted.prefix:
        return [_write(connection, replace(present, pool=wanted.pool))]
    cooling = _write(connection, replace(present, state=AllocationState.COOLING, since=wanted.since))
    return [cooling, _write(connection, wanted)]


def _release(connection: sqlite3.Connection, allocation: Allocation, now: float) -> list[Allocation]:
    row = _row(connection, allocation)
    if row is None or row.state is AllocationState.COOLING:
        return []
    if row.revision != allocation.revision:
        raise LedgerConflict(f"{row.prefix} of {row.owner}")
    return [_write(connection, replace(row, state=AllocationState.COOLING, since=now))]


def _forget(connection: sqlite3.Connection, allocation: Allocation) -> IPv6Network | None:
    row = _row(connection, allocation)
    if row is None:
        return None
    if row.revision != allocation.revision or row.state is AllocationState.BOUND:
        raise LedgerConflict(f"{row.prefix} of {row.owner}")
    connection.execute("DELETE FROM ipam_allocations WHERE first = ? AND last = ?", first_and_last(row.prefix))
    return row.prefix


def _row(connection: sqlite3.Connection, allocation: Allocation) -> Allocation | None:
    row = _one(connection, "WHERE first = ? AND last = ?", first_and_last(allocation.prefix))
    return row if row is not None and row.owner == allocation.owner else None  # SQL can't compare a damaged owner


def _bound_to(connection: sqlite3.Connection, owner: str, now: float) -> Allocation | None:
    """The owner's bound subnet. A damaged row is not: its readable prefix starts cooling, as the caller has read it."""
    bound = "WHERE owner = ? AND state = 'bound'"
    present = _one(connection, bound, (owner,))
    if present is None:
        connection.execute(f"DELETE FROM ipam_allocations {bound}", (owner,))  # noqa: S608 - constants
    elif present.state is AllocationState.COOLING:
        _write(connection, replace(present, since=now))
    else:
        return present
    return None


def _one(connection: sqlite3.Connection, where: str, parameters: tuple[str | bytes, ...]) -> Allocation | None:
    """The first row whose prefix is readable."""
    found = decode_allocations(connection.execute(SELECT_ALLOCATIONS + where, parameters).fetchall())
    return next(iter(found.values), None)


def _write(connection: sqlite3.Connection, allocation: Allocation) -> Allocation:
    """Insert or replace the row under the ledger's next revision; a revision is never used twice."""
    written = replace(allocation, revision=take_revisions(connection, SCHEMA.component, "ipam_allocations"))
    _insert(connection, written)
    return written


def _insert(connection: sqlite3.Connection, allocation: Allocation) -> None:
    first, last = first_and_last(allocation.prefix)
    state, since = allocation.state.value, allocation.since
    connection.execute(
        "INSERT INTO ipam_allocations (first, last, owner, pool, state, since, revision) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (first, last) DO UPDATE SET owner = excluded.owner, pool = excluded.pool, "
        "state = excluded.state, since = excluded.since, revision = excluded.revision",
        (first, last, allocation.owner, allocation.pool, state, since, allocation.revision),
    )
