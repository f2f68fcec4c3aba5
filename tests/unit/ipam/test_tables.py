from contextlib import closing
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.ipam.sqlite import SqliteLedger
from dockerv6.ipam.tables import SCHEMA, read_allocations
from dockerv6.lib.statefile import Schema, StateFileMissingError, open_state

A = IPv6Network("fd00:1:2:3::/64")


async def test_allocations_are_read_from_the_file(tmp_path: Path) -> None:
    ledger = await SqliteLedger.open(tmp_path / "state.db")
    await ledger.bind("blog", "default", A, 1.0, revision=None)
    held = await ledger.allocations()
    await ledger.close()

    assert read_allocations(tmp_path / "state.db") == held


def test_a_file_without_a_ledger_has_no_allocations(tmp_path: Path) -> None:
    open_state(tmp_path / "state.db", Schema("other", ())).close()

    assert read_allocations(tmp_path / "state.db") == ()


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateFileMissingError):
        read_allocations(tmp_path / "state.db")


def test_rows_of_version_0_1_are_read(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(open_state(path, SCHEMA)) as connection:
        connection.execute(
            "INSERT INTO ipam_allocations VALUES (X'fd000001000200030000000000000000', "
            "X'fd00000100020003ffffffffffffffff', 'blog', 'default', 'cooling', 100.5, 7)"
        )

    assert read_allocations(path) == (Allocation("blog", "default", A, AllocationState.COOLING, 100.5, 7),)
