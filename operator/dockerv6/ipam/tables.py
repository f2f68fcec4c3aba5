"""The ledger's tables in the state file: their schema, their rows, and queries for other processes.

A prefix is stored as its first and last address, 16 bytes each. Blobs compare like the addresses, so SQL can find
overlaps.

The command line reads the ledger through `read_allocations`, while a daemon runs or without one; nothing is written.
"""

import sqlite3
from ipaddress import IPv6Network
from pathlib import Path

from dockerv6.ipam.ledger import Allocation, AllocationState, PoolPrefix
from dockerv6.lib.statefile import Schema, read_state

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

SELECT_ALLOCATIONS = "SELECT owner, pool, first, last, state, since, revision FROM ipam_allocations "
"""Selects the columns that `allocation_from_row` reads."""

AllocationRow = tuple[str, str, bytes, bytes, str, float, int]


def read_allocations(path: Path) -> tuple[Allocation, ...]:
    """Read every allocation from the state file, ordered by prefix.

    Raises:
        StateFileMissingError: there is no state file.
        StateFileError: it can't be read.
    """
    return read_state(path, SCHEMA, all_allocations) or ()


def all_allocations(connection: sqlite3.Connection) -> tuple[Allocation, ...]:
    """Select every allocation, ordered by prefix."""
    rows = connection.execute(SELECT_ALLOCATIONS + "ORDER BY first, last DESC")
    return tuple(allocation_from_row(row) for row in rows)


def allocation_from_row(row: AllocationRow) -> Allocation:
    """Convert one row of `SELECT_ALLOCATIONS`."""
    owner, pool, first, last, state, since, revision = row
    return Allocation(owner, pool, _prefix(first, last), AllocationState(state), since, revision)


def all_pool_prefixes(connection: sqlite3.Connection) -> tuple[PoolPrefix, ...]:
    """Select the generated prefixes, ordered by pool."""
    rows = connection.execute("SELECT pool, first, last FROM ipam_pools ORDER BY pool")
    return tuple(PoolPrefix(pool, _prefix(first, last)) for pool, first, last in rows)


def first_and_last(prefix: IPv6Network) -> tuple[bytes, bytes]:
    """Convert a prefix to its two columns."""
    return prefix.network_address.packed, prefix.broadcast_address.packed


def _prefix(first: bytes, last: bytes) -> IPv6Network:
    hosts = int.from_bytes(last) - int.from_bytes(first)
    return IPv6Network((first, _BITS - hosts.bit_length()))
