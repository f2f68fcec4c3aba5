"""Rows of the ledger that are damaged affect no other row, and their prefix is given to nobody else."""

from contextlib import closing
from ipaddress import IPv6Network
from itertools import product
from pathlib import Path

import pytest

from dockerv6.ipam.ledger import UNKNOWN_TIME, AllocationState, SubnetTaken
from dockerv6.ipam.sqlite import SqliteLedger
from dockerv6.ipam.tables import SCHEMA, read_allocations
from dockerv6.lib.statefile import open_state
from tests.unit.lib.rows import update_any

A, B, C = (IPv6Network(f"fd00:{each}::/64") for each in "abc")
INVALID = "CAST(x'ff' AS TEXT)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


async def damaged(path: Path, *statements: str) -> SqliteLedger:
    """A ledger with two allocations and a pool, of which "a" was damaged."""
    ledger = await SqliteLedger.open(path)
    await ledger.bind("a", "default", A, 1.0, revision=None)
    await ledger.bind("b", "default", B, 1.0, revision=None)
    await ledger.keep_pool_prefix("default", IPv6Network("fd00::/48"))
    await ledger.close()
    with closing(open_state(path, SCHEMA)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        for statement in statements:
            connection.execute(statement)
    return await SqliteLedger.open(path)


@pytest.mark.parametrize("change", ["since = 'x'", "revision = 'x'", "state = 'other'", f"pool = {INVALID}"])
async def test_a_damaged_allocation_keeps_its_prefix_for_its_owner(path: Path, change: str) -> None:
    ledger = await damaged(path, f"UPDATE ipam_allocations SET {change} WHERE owner = 'a'")  # noqa: S608 - constants
    a, b = await ledger.allocations()
    assert (b.owner, b.state) == ("b", AllocationState.BOUND)
    assert (a.owner, a.prefix, a.state, a.since) == ("a", A, AllocationState.COOLING, UNKNOWN_TIME)
    assert len(ledger.problems) == 1

    with pytest.raises(SubnetTaken):
        await ledger.bind("other", "default", A, 2.0, revision=None)
    again = await ledger.bind("a", "default", A, 3.0, revision=None)
    await ledger.close()

    assert again in read_allocations(path)


@pytest.mark.parametrize("change", ["since = 'x'", "last = x'00'"])
async def test_the_owner_of_a_damaged_allocation_can_get_another_subnet(path: Path, change: str) -> None:
    ledger = await damaged(path, f"UPDATE ipam_allocations SET {change} WHERE owner = 'a'")  # noqa: S608 - constants
    await ledger.bind("a", "default", C, 3.0, revision=None)
    await ledger.close()

    bound = {a.owner: a.prefix for a in read_allocations(path) if a.state is AllocationState.BOUND}
    assert bound == {"a": C, "b": B}


async def test_an_allocation_with_a_damaged_owner_can_be_released_and_forgotten(path: Path) -> None:
    ledger = await damaged(path, f"UPDATE ipam_allocations SET owner = {INVALID} WHERE owner = 'a'")  # noqa: S608 - constants
    first, _ = await ledger.allocations()
    assert (first.prefix, first.state) == (A, AllocationState.COOLING)
    await ledger.forget(first)
    assert [a.owner for a in await ledger.allocations()] == ["b"]
    await ledger.close()


async def test_an_allocation_whose_prefix_is_damaged_is_left_out(path: Path) -> None:
    ledger = await damaged(path, "UPDATE ipam_allocations SET first = x'ff' WHERE owner = 'a'")
    assert [a.owner for a in await ledger.allocations()] == ["b"]
    assert "ipam_allocations" in ledger.problems[0]
    await ledger.bind("c", "default", C, 3.0, revision=None)
    await ledger.close()


async def test_a_damaged_pool_prefix_is_left_out_and_can_be_recorded_again(path: Path) -> None:
    ledger = await damaged(path, "UPDATE ipam_pools SET last = x'00'")
    assert await ledger.pool_prefixes() == ()
    kept = await ledger.keep_pool_prefix("default", IPv6Network("fd00:1::/48"))
    assert kept.prefix == IPv6Network("fd00:1::/48")
    assert await ledger.pool_prefixes() == (kept,)
    await ledger.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *product(("owner", "pool", "state", "since", "revision"), ("5", "'7'", "7.5", "x'37'", "NULL")),
        *product(("first", "last"), ("5", "'7'", "7.5", "x'37'")),  # a key without rowid is never NULL
    ],
)
async def test_a_value_that_does_not_fit_its_column_harms_only_its_allocation(
    path: Path, column: str, value: str
) -> None:
    await (await damaged(path)).close()
    update_any(path, f"UPDATE ipam_allocations SET {column} = {value} WHERE owner = 'a'")  # noqa: S608 - constants

    ledger = await SqliteLedger.open(path)
    assert {a.owner: a.prefix for a in await ledger.allocations()}["b"] == B
    again = await ledger.bind("b", "other", B, 2.0, revision=(await ledger.allocations())[-1].revision)
    bound = await ledger.bind("c", "default", C, 3.0, revision=None)
    await rewritten(ledger, path)
    await ledger.close()
    assert {again, bound} <= set(read_allocations(path))


async def test_a_damaged_owner_that_has_another_subnet_does_not_keep_the_state_from_being_written(path: Path) -> None:
    await (await damaged(path)).close()
    with closing(open_state(path, SCHEMA)) as connection:
        # as damage in the table does, which its index does not show
        connection.execute("PRAGMA writable_schema = ON")
        index = connection.execute("SELECT * FROM sqlite_master WHERE name = 'ipam_bound'").fetchone()
        connection.execute("DELETE FROM sqlite_master WHERE name = 'ipam_bound'")
        connection.execute("PRAGMA writable_schema = RESET")
        connection.execute("UPDATE ipam_allocations SET owner = 'b'")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)

    ledger = await SqliteLedger.open(path)

    assert [(a.owner, a.state.value) for a in await ledger.allocations()] == [("b", "bound"), ("b", "cooling")]
    assert len(ledger.problems) == 1
    await rewritten(ledger, path)
    await ledger.bind("c", "default", C, 3.0, revision=None)
    await ledger.close()
    assert len(read_allocations(path)) == 3


@pytest.mark.parametrize(
    "statement",
    [
        *(
            f"UPDATE ipam_revision SET value = {value}"  # noqa: S608 - constants
            for value in ("'abc'", "x'00'", "9223372036854775807", "4503599627370497", "-1")
        ),
        "DELETE FROM ipam_revision",
    ],
)
async def test_a_damaged_counter_of_revisions_is_written_again(path: Path, statement: str) -> None:
    await (await damaged(path)).close()
    update_any(path, statement)

    ledger = await SqliteLedger.open(path)
    assert (await ledger.bind("c", "default", C, 3.0, revision=None)).revision == 3
    await rewritten(ledger, path)
    (c,) = [a for a in await ledger.allocations() if a.owner == "c"]
    await ledger.release(c, 4.0)
    await ledger.close()
    assert max(a.revision for a in read_allocations(path)) == 4


@pytest.mark.parametrize("value", ["9223372036854775807", "9007199254740993", "-1"])
async def test_a_revision_that_can_not_be_counted_up_harms_only_its_allocation(path: Path, value: str) -> None:
    ledger = await damaged(path, f"UPDATE ipam_allocations SET revision = {value} WHERE owner = 'a'")  # noqa: S608 - constants
    assert [(a.owner, a.state.value) for a in await ledger.allocations()] == [("a", "cooling"), ("b", "bound")]
    await rewritten(ledger, path)
    assert (await ledger.bind("c", "default", C, 3.0, revision=None)).revision == 3
    await ledger.close()


async def rewritten(ledger: SqliteLedger, path: Path) -> None:
    """Have the file written again from memory."""
    await ledger.detach()
    path.unlink()  # noqa: ASYNC240 - a test
    await ledger.attach()
