import asyncio
import signal
import sqlite3
import subprocess
import sys
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from dockerv6.ipam.ledger import LedgerConflict, LedgerError, PoolPrefix, SubnetTaken
from dockerv6.ipam.sqlite import SqliteLedger
from dockerv6.ipam.tables import SCHEMA, read_allocations
from dockerv6.lib.database import Database

A = IPv6Network("fd00:1:2:3::/64")
B = IPv6Network("fd00:1:2:4::/64")

JUNK = b"junk" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def damaged(path: Path) -> Path:
    path.write_bytes(JUNK)
    return path


async def statements(database: Database) -> list[str]:
    seen: list[str] = []
    await database.read(lambda connection: connection.set_trace_callback(seen.append))
    return seen


async def limit_pages(database: Database, pages: int) -> None:
    await database.read(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall())


async def test_reads_back_everything_after_a_restart(path: Path) -> None:
    ledger = await SqliteLedger.open(path)
    first = await ledger.bind("blog", "default", A, 1.5, revision=None)
    await ledger.bind("blog", "default", B, 2.5, revision=first.revision)
    await ledger.keep_pool_prefix("default", IPv6Network("fd00:1:2::/48"))
    held = await ledger.allocations()
    await ledger.close()

    again = await SqliteLedger.open(path)

    assert await again.allocations() == held
    assert await again.pool_prefixes() == (PoolPrefix("default", IPv6Network("fd00:1:2::/48")),)
    await again.close()


async def test_revisions_are_unique_across_restarts(path: Path) -> None:
    ledger = await SqliteLedger.open(path)
    bound = await ledger.bind("blog", "default", A, 1.0, revision=None)
    await ledger.release(bound, 2.0)
    (cooling,) = await ledger.allocations()
    await ledger.forget(cooling)
    await ledger.close()

    ledger = await SqliteLedger.open(path)
    again = await ledger.bind("blog", "default", A, 3.0, revision=None)

    assert again.revision > cooling.revision > bound.revision
    await ledger.close()


@pytest.mark.parametrize("prefix", ["::/0", "fd00::/8", "fd00::1/128", "ffff:ffff:ffff:ffff::/64"])
async def test_stores_prefixes_of_every_length(path: Path, prefix: str) -> None:
    ledger = await SqliteLedger.open(path)
    await ledger.bind("blog", "", IPv6Network(prefix), 1.0, revision=None)
    await ledger.close()

    assert [each.prefix for each in read_allocations(path)] == [IPv6Network(prefix)]


async def test_reading_and_repeated_binding_write_nothing(path: Path) -> None:
    database = await Database.open(path, SCHEMA, LedgerError)
    ledger = SqliteLedger(database)
    await ledger.bind("blog", "default", A, 1.0, revision=None)
    seen = await statements(database)

    assert await ledger.allocations() is await ledger.allocations()
    await ledger.bind("blog", "default", A, 2.0, revision=None)
    await ledger.keep_pool_prefix("default", A)
    await ledger.keep_pool_prefix("default", B)

    assert seen.count("COMMIT") == 1
    await ledger.close()


async def test_a_bind_during_a_release_runs_after_it(path: Path) -> None:
    ledger = await SqliteLedger.open(path)
    bound = await ledger.bind("blog", "default", A, 1.0, revision=None)

    _, outcome = await asyncio.gather(
        ledger.release(bound, 2.0),
        ledger.bind("blog", "default", A, 3.0, revision=bound.revision),
        return_exceptions=True,
    )

    assert isinstance(outcome, LedgerConflict)
    assert [each.state.value for each in await ledger.allocations()] == ["cooling"]
    await ledger.close()


async def test_a_write_of_another_process_is_a_conflict_and_refreshes_the_cache(path: Path) -> None:
    ours, theirs = await SqliteLedger.open(path), await SqliteLedger.open(path)
    taken = await theirs.bind("shop", "default", A, 1.0, revision=None)
    moved = await theirs.bind("mail", "default", B, 1.0, revision=None)

    with pytest.raises(SubnetTaken) as refused:
        await ours.bind("blog", "default", A, 2.0, revision=None)

    assert refused.value.holder == taken
    assert await ours.allocations() == (taken, moved)
    await theirs.release(moved, 3.0)
    with pytest.raises(LedgerConflict):
        await ours.forget(moved)
    assert await ours.allocations() == await theirs.allocations()
    await ours.close()
    await theirs.close()


async def test_a_full_disk_has_a_remedy_and_loses_nothing(path: Path) -> None:
    database = await Database.open(path, SCHEMA, LedgerError)
    ledger = SqliteLedger(database)
    bound = await ledger.bind("blog", "default", A, 1.0, revision=None)
    await limit_pages(database, 1)

    with pytest.raises(LedgerError, match="free some space"):
        await ledger.bind("x" * 100_000, "default", B, 1.0, revision=None)

    assert await ledger.allocations() == (bound,)
    await limit_pages(database, 100000)
    await ledger.bind("shop", "default", B, 1.0, revision=None)
    await ledger.close()


async def test_a_damaged_file_has_a_remedy(damaged: Path) -> None:
    with pytest.raises(LedgerError, match="is damaged"):
        await SqliteLedger.open(damaged)


async def test_a_file_with_unreadable_rows_is_closed(path: Path) -> None:
    await (await SqliteLedger.open(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE ipam_pools")
    connection.close()

    with pytest.raises(LedgerError, match="ipam_pools"):
        await SqliteLedger.open(path)

    assert [each.name for each in path.parent.iterdir()] == ["state.db"]


WRITER = """
import asyncio, sys
from ipaddress import IPv6Network
from pathlib import Path
from dockerv6.ipam.sqlite import SqliteLedger

async def main():
    ledger = await SqliteLedger.open(Path(sys.argv[1]))
    bound = await ledger.bind("roaming", "default", IPv6Network("fd01::/64"), 0.0, revision=None)
    number = 0
    while True:
        number += 1
        fresh = IPv6Network((0xfd00 << 112 | number << 64, 64))
        await ledger.bind(f"owner-{number}", "default", fresh, 1.0, revision=None)
        prefix = IPv6Network((0xfd01 << 112 | number << 64, 64))
        bound = await ledger.bind("roaming", "default", prefix, 1.0, revision=bound.revision)
        print(number, flush=True)

asyncio.run(main())
"""


def write_and_be_killed(path: Path) -> int:
    """Return the number of writes acknowledged before the kill."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        acknowledged = 20 + len(writer.stdout.read().split())
    assert writer.returncode == -signal.SIGKILL
    return acknowledged


async def test_a_kill_loses_no_acknowledged_write(path: Path) -> None:
    acknowledged = write_and_be_killed(path)

    ledger = await SqliteLedger.open(path)
    held = await ledger.allocations()
    await ledger.close()

    owners = {each.owner for each in held}
    assert {f"owner-{number}" for number in range(1, acknowledged + 1)} <= owners
    roaming = [each for each in held if each.owner == "roaming"]
    assert sum(each.state.value == "bound" for each in roaming) == 1
    assert len(roaming) >= acknowledged + 1
