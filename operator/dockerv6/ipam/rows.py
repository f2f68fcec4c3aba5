"""The ledger's tables in the state file, and how their rows read.

A prefix is kept as its first and last address, 16 bytes each: blobs compare like the addresses, so that SQL can tell
an overlap.
"""

import sqlite3
from ipaddress import IPv6Network

from dockerv6.ipam.ledger import Allocation, AllocationState, PoolPrefix
from dockerv6.lib.statefile import Schema

_BITS = 128

SCHEMA = Schema(
    "ipam",
    (
        (
            """
            CREATE TABLE ipam_allocations (
                first BLOB NOT NULL,
                last BLOB NOT NULL,
                owner TEXT NOT NULL,
                pool TEXT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('bound', 'cooling')),
                since REAL NOT NULL,
                revision INTEGER NOT NULL,
                PRIMARY KEY (first, last)
            ) WITHOUT ROWID
            """,
            "CREATE UNIQUE INDEX ipam_bound ON ipam_allocations (owner) WHERE state = 'bound'",
            "CREATE TABLE ipam_pools (pool TEXT PRIMARY KEY, first BLOB NOT NULL, last BLOB NOT NULL) WITHOUT ROWID",
            "CREATE TABLE ipam_revision (value INTEGER NOT NULL)",
            "INSERT INTO ipam_revision VALUES (0)",
        ),
    ),
)

ALLOCATION = "SELECT owner, pool, first, last, state, since, revision FROM ipam_allocations "
"""The columns that `to_allocation` reads."""

AllocationRow = tuple[str, str, bytes, bytes, str, float, int]


def to_allocation(row: AllocationRow) -> Allocation:
    """Read a row of `ALLOCATION`."""
    owner, pool, first, last, state, since, revision = row
    return Allocation(owner, pool, _prefix(first, last), AllocationState(state), since, revision)


def bounds(prefix: IPv6Network) -> tuple[bytes, bytes]:
    """The first and the last address."""
    return prefix.network_address.packed, prefix.broadcast_address.packed


def all_allocations(connection: sqlite3.Connection) -> tuple[Allocation, ...]:
    """Ordered by prefix."""
    return tuple(to_allocation(row) for row in connection.execute(ALLOCATION + "ORDER BY first, last DESC"))


def all_pools(connection: sqlite3.Connection) -> tuple[PoolPrefix, ...]:
    """The generated prefixes, ordered by pool."""
    rows = connection.execute("SELECT pool, first, last FROM ipam_pools ORDER BY pool")
    return tuple(PoolPrefix(pool, _prefix(first, last)) for pool, first, last in rows)


def _prefix(first: bytes, last: bytes) -> IPv6Network:
    hosts = int.from_bytes(last) - int.from_bytes(first)
    return IPv6Network((first, _BITS - hosts.bit_length()))
