import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dockerv6.lib.database import Database
from dockerv6.lib.statefile import Schema, StateFileError, open_state, read_state

SCHEMA = Schema("test", (("CREATE TABLE test_words (word TEXT PRIMARY KEY)",),))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "state.db", SCHEMA)
    yield opened
    await opened.close()


class Refused(Exception):  # noqa: N818 - a test's own
    pass


def words(connection: sqlite3.Connection) -> list[str]:
    return [word for (word,) in connection.execute("SELECT word FROM test_words ORDER BY word")]


async def keep(database: Database, word: str) -> None:
    await database.write(lambda connection: connection.execute("INSERT INTO test_words VALUES (?)", (word,)))


async def refuse(database: Database, word: str) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO test_words VALUES (?)", (word,))
        raise Refused(word)

    await database.write(work)


class Gate:
    """Blocks the database's thread until the gate is opened."""

    def __init__(self, database: Database) -> None:
        self._open = threading.Event()
        self._begun = threading.Event()
        self._held = asyncio.ensure_future(database.read(self._hold))

    def _hold(self, _: sqlite3.Connection) -> None:
        self._begun.set()
        self._open.wait()

    async def closed(self) -> None:
        """Return when the thread is blocked: what is asked for from now on waits together."""
        assert await asyncio.to_thread(self._begun.wait, 60)

    async def open(self) -> None:
        self._open.set()
        await self._held


async def test_all_statements_run_on_one_thread(database: Database) -> None:
    names = await asyncio.gather(*(database.read(lambda _: threading.current_thread().name) for _ in range(5)))

    assert len(set(names)) == 1
    assert names[0].startswith("sqlite-test")


async def test_a_write_is_on_disk_when_it_returns(database: Database, tmp_path: Path) -> None:
    await keep(database, "a")

    other = sqlite3.connect(tmp_path / "state.db")
    assert words(other) == ["a"]
    other.close()


async def test_pending_writes_share_one_commit(database: Database) -> None:
    statements: list[str] = []
    await database.read(lambda connection: connection.set_trace_callback(statements.append))
    gate = Gate(database)
    await gate.closed()
    writes = [asyncio.ensure_future(keep(database, str(number))) for number in range(50)]
    await asyncio.sleep(0)

    await gate.open()
    await asyncio.gather(*writes)

    assert statements.count("COMMIT") == 1
    assert len(await database.read(words)) == 50


async def test_calls_run_in_order(database: Database) -> None:
    seen: list[list[str]] = []
    gate = Gate(database)
    await gate.closed()

    work = [
        asyncio.ensure_future(call)
        for call in (
            keep(database, "a"),
            database.read(words, seen.append),
            keep(database, "b"),
            database.read(words, seen.append),
        )
    ]
    await asyncio.sleep(0)
    await gate.open()
    await asyncio.gather(*work)

    assert seen == [["a"], ["a", "b"]]


async def test_a_failed_write_does_not_affect_its_group(database: Database) -> None:
    gate = Gate(database)
    await gate.closed()
    writes = [
        asyncio.ensure_future(call)
        for call in (keep(database, "a"), refuse(database, "b"), keep(database, "a"), keep(database, "c"))
    ]
    await asyncio.sleep(0)
    await gate.open()
    first, refused, duplicate, last = await asyncio.gather(*writes, return_exceptions=True)

    assert first is last is None
    assert isinstance(refused, Refused)
    assert isinstance(duplicate, StateFileError)
    assert "UNIQUE" in str(duplicate)
    assert await database.read(words) == ["a", "c"]


async def test_a_full_disk_fails_the_write_and_loses_nothing(database: Database) -> None:
    await keep(database, "a")
    await database.read(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall())

    outcomes = await asyncio.gather(
        *(keep(database, str(number) * 5000) for number in range(10)), return_exceptions=True
    )

    assert all(isinstance(outcome, StateFileError) and "free some space" in str(outcome) for outcome in outcomes)
    assert await database.read(words) == ["a"]
    await database.read(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchall())
    await keep(database, "b" * 5000)
    assert len(await database.read(words)) == 2


async def test_a_file_that_becomes_read_only_fails_the_write(database: Database) -> None:
    await database.read(lambda connection: connection.execute("PRAGMA query_only = 1"))

    with pytest.raises(StateFileError, match="writable"):
        await keep(database, "a")


async def test_a_transaction_that_cannot_begin_fails_all_pending_writes(database: Database, tmp_path: Path) -> None:
    await database.read(lambda connection: connection.execute("PRAGMA busy_timeout = 0").fetchall())
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    outcomes = await asyncio.gather(keep(database, "a"), keep(database, "b"), return_exceptions=True)

    assert all(isinstance(outcome, StateFileError) and "another process" in str(outcome) for outcome in outcomes)
    other.execute("ROLLBACK")
    other.close()
    await keep(database, "a")


async def test_a_failed_query_has_a_reason(database: Database) -> None:
    with pytest.raises(StateFileError, match="no such table: missing"):
        await database.read(lambda connection: connection.execute("SELECT * FROM missing"))


async def test_on_done_runs_after_the_caller_was_cancelled(database: Database) -> None:
    applied: list[str] = []
    gate = Gate(database)
    await gate.closed()

    def work(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO test_words VALUES ('a')")
        return "a"

    def wrong(_: sqlite3.Connection) -> str:
        raise Refused

    callers = [asyncio.ensure_future(database.write(each, applied.append)) for each in (work, wrong)]
    await asyncio.sleep(0)
    for caller in callers:
        caller.cancel()
    await gate.open()

    assert await database.read(words) == ["a"]
    assert applied == ["a"]
    assert all(caller.cancelled() for caller in callers)


async def test_on_done_runs_before_the_caller_resumes(database: Database) -> None:
    applied: list[None] = []

    await database.write(lambda _: None, applied.append)

    assert applied == [None]


@pytest.mark.parametrize("call", ["read", "write"])
async def test_an_exception_of_on_done_reaches_the_caller(database: Database, call: str) -> None:
    def fail(_: None) -> None:
        raise ValueError("it does not fit")

    with pytest.raises(StateFileError, match="does not fit"):
        await getattr(database, call)(lambda _: None, fail)

    assert database.idle
    await keep(database, "a")


@pytest.mark.parametrize("error", [ValueError("odd"), sqlite3.OperationalError("odd"), KeyError("odd")])
async def test_a_failed_attach_leaves_no_connection(
    database: Database, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []

    def opening(path: Path, schema: Schema) -> sqlite3.Connection:
        opened.append(open_state(path, schema))
        return opened[-1]

    def fail(_: sqlite3.Connection) -> None:
        raise error

    monkeypatch.setattr("dockerv6.lib.database.open_state", opening)
    await database.detach()
    with pytest.raises(StateFileError, match="odd"):
        await database.attach(fail)
    database.refuse("odd")
    with pytest.raises(StateFileError, match="odd"):
        await keep(database, "a")

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")
    await database.detach()
    await database.attach(lambda _: None)
    await keep(database, "a")


@pytest.mark.parametrize("error", [TypeError("odd"), OverflowError("odd"), ValueError("odd"), KeyError("odd")])
async def test_a_value_that_does_not_fit_fails_only_its_own_call(database: Database, error: Exception) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO test_words VALUES ('b')")
        raise error

    outcomes = await asyncio.gather(
        keep(database, "a"), database.write(fail), database.read(fail), keep(database, "c"), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), StateFileError, StateFileError, type(None)]
    assert "odd" in str(outcomes[1])
    assert {"a", "c"} <= set(await database.read(words))


async def test_is_idle_when_no_call_is_pending(database: Database) -> None:
    idle = [database.idle]
    write = asyncio.ensure_future(keep(database, "a"))
    await asyncio.sleep(0)
    idle.append(database.idle)
    await write
    idle.append(database.idle)

    assert idle == [True, False, True]


async def test_close_finishes_pending_calls(database: Database, tmp_path: Path) -> None:
    write = asyncio.ensure_future(keep(database, "a"))
    await asyncio.sleep(0)

    await database.close()
    await write
    await database.close()

    assert read_state(tmp_path / "state.db", SCHEMA, words) == ["a"]
    with pytest.raises(StateFileError, match="closed"):
        await keep(database, "b")


async def test_a_failed_open_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"junk" * 1000)

    with pytest.raises(StateFileError, match="damaged"):
        await Database.open(tmp_path / "state.db", Schema("broken", ()))

    for thread in threading.enumerate():
        if thread.name.startswith("sqlite-broken"):
            thread.join(60)
            assert not thread.is_alive()


async def test_two_components_open_and_write_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    other = Schema("other", (("CREATE TABLE other_words (word TEXT)",),))
    first, second = await asyncio.gather(Database.open(path, SCHEMA), Database.open(path, other))

    await asyncio.gather(
        *(keep(first, str(number)) for number in range(100)),
        *(
            second.write(lambda connection: connection.execute("INSERT INTO other_words VALUES ('x')"))
            for _ in range(100)
        ),
    )

    assert len(await first.read(words)) == 100
    assert await second.read(lambda c: c.execute("SELECT count(*) FROM other_words").fetchone()) == (100,)
    await first.close()
    await second.close()
