"""The ledger's tables in the state file: their schema, their rows, and queries for other processes.

A prefix is stored as its first and last address, 16 bytes each. Blobs compare like the addresses, so SQL can find
overlaps.

The command line reads the ledger through `read_allocations`, while a daemon runs or without one; nothing is written.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path

from dockerv6.ipam.ledger import UNKNOWN_TIME, Allocation, AllocationState, PoolPrefix
from dockerv6.lib.rows import DecodedRows, Row, checked_integer, checked_text, checked_time, decode_rows, integer_or
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
"""Selects the columns that `decode_allocations` reads."""


def read_allocations(path: Path) -> tuple[Allocation, ...]:
    """Read every allocation from the state file, ordered by prefix.

    Raises:
        StateFileMissingError: there is no state file.
        StateFileError: it can't be read.
    """
    found = read_state(path, SCHEMA, all_allocations)
    return found.values if found is not None else ()


def all_allocations(connection: sqlite3.Connection) -> DecodedRows[Allocation]:
    """Select every allocation, ordered by prefix."""
    found = decode_allocations(connection.execute(SELECT_ALLOCATIONS + "ORDER BY first, last DESC"))
    bound: dict[str, Allocation] = {}
    values: list[Allocation] = []
    problems: list[str] = []
    for each in found.values:
        if each.state is AllocationState.BOUND and bound.setdefault(each.owner, each) is not each:
            problems.append(f"{each.prefix} can't be bound to {each.owner}, which has {bound[each.owner].prefix}")
            values.append(replace(each, state=AllocationState.COOLING, since=UNKNOWN_TIME))
        else:
            values.append(each)
    return DecodedRows(tuple(values), (*found.problems, *problems))


def decode_allocations(rows: Iterable[Row]) -> DecodedRows[Allocation]:
    """Decode rows of `SELECT_ALLOCATIONS`."""
    return decode_rows("ipam_allocations", rows, _to_allocation, _cooling)


def _to_allocation(row: Row) -> Allocation:
    owner, pool, first, last, state, since, revision = row
    owner, pool, since = checked_text(owner), checked_text(pool), checked_time(since)
    return Allocation(owner, pool, _prefix(first, last), AllocationState(state), since, checked_integer(revision))


def _cooling(row: Row) -> Allocation:
    """A damaged row whose prefix is readable: until its cooldown is over, only its owner can get the prefix."""
    owner, pool, first, last, _, _, revision = row
    prefix, seen = _prefix(first, last), integer_or(0, revision)
    return Allocation(_readable(owner), _readable(pool), prefix, AllocationState.COOLING, UNKNOWN_TIME, seen)


def all_pool_prefixes(connection: sqlite3.Connection) -> DecodedRows[PoolPrefix]:
    """Select the generated prefixes, ordered by pool."""
    rows = connection.execute("SELECT pool, first, last FROM ipam_pools ORDER BY pool")
    return decode_rows("ipam_pools", rows, lambda row: PoolPrefix(checked_text(row[0]), _prefix(row[1], row[2])))


def first_and_last(prefix: IPv6Network) -> tuple[bytes, bytes]:
    """Convert a prefix to its two columns."""
    return prefix.network_address.packed, prefix.broadcast_address.packed


def _readable(value: object) -> str:
    """A damaged text; "" if it is none."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _prefix(first: object, last: object) -> IPv6Network:
    if not (isinstance(first, bytes) and isinstance(last, bytes) and len(first) == len(last) == _BITS // 8):
        raise ValueError("its addresses are damaged")
    hosts = int.from_bytes(last) - int.from_bytes(first)
    prefix = IPv6Network((first, max(0, _BITS - hosts.bit_length())))
    if hosts < 0 or prefix.broadcast_address.packed != last:
        raise ValueError("its addresses are not the first and the last one of a prefix")
    return prefix
