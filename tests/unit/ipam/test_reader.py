from ipaddress import IPv6Network
from pathlib import Path

import pytest

from dockerv6.ipam.ledger import PoolPrefix
from dockerv6.ipam.reader import read_allocations, read_pool_prefixes
from dockerv6.ipam.sqlite import SqliteLedger
from dockerv6.lib.statefile import NoState, Schema, open_state

A = IPv6Network("fd00:1:2:3::/64")


async def test_what_the_ledger_holds_is_read_without_it(tmp_path: Path) -> None:
    ledger = await SqliteLedger.open(tmp_path / "state.db")
    await ledger.bind("blog", "default", A, 1.0, revision=None)
    await ledger.keep_pool_prefix("default", IPv6Network("fd00:1:2::/48"))
    held = await ledger.allocations()
    await ledger.close()

    assert read_allocations(tmp_path / "state.db") == held
    assert read_pool_prefixes(tmp_path / "state.db") == (PoolPrefix("default", IPv6Network("fd00:1:2::/48")),)


def test_a_file_without_a_ledger_holds_nothing(tmp_path: Path) -> None:
    open_state(tmp_path / "state.db", Schema("other", ())).close()

    assert read_allocations(tmp_path / "state.db") == ()
    assert read_pool_prefixes(tmp_path / "state.db") == ()


def test_no_file_is_told_apart_from_an_empty_ledger(tmp_path: Path) -> None:
    with pytest.raises(NoState):
        read_allocations(tmp_path / "state.db")
