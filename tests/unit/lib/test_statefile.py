import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dockerv6.lib.statefile import Schema, StateFileError, StateFileMissingError, describe_error, open_state, read_state

SCHEMA = Schema("test", (("CREATE TABLE test_words (word TEXT)",),))
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


def words(connection: sqlite3.Connection) -> list[str]:
    return [word for (word,) in connection.execute("SELECT word FROM test_words ORDER BY word")]


def keep(path: Path, *new: str) -> None:
    connection = open_state(path, SCHEMA)
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO test_words VALUES (?)", [(word,) for word in new])
    connection.execute("COMMIT")
    connection.close()


def write_and_be_killed(path: Path, word: str) -> None:
    """Leave a write-ahead log, as a killed daemon does."""
    program = """
import os, sys, pathlib, signal
from dockerv6.lib.statefile import Schema, open_state
connection = open_state(pathlib.Path(sys.argv[1]), Schema("test", (("CREATE TABLE test_words (word TEXT)",),)))
connection.execute("INSERT INTO test_words VALUES (?)", (sys.argv[2],))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program, str(path), word], check=False)


def listing(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


@contextmanager
def unprivileged(path: Path) -> Iterator[None]:
    """Become a user who may read the file but write neither it nor its directory."""
    for each in (path.parent, *path.parent.iterdir()):
        each.chmod(0o555 if each.is_dir() else 0o444)
    reachable = [parent for parent in path.parents if parent.stat().st_uid == os.geteuid() and parent != path.parent]
    modes = [parent.stat().st_mode for parent in reachable]
    for parent, mode in zip(reachable, modes, strict=True):
        parent.chmod(mode | 0o055)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for parent, mode in zip(reachable, modes, strict=True):
            parent.chmod(mode)
        path.parent.chmod(0o755)


def test_only_the_owner_can_read_the_files(path: Path) -> None:
    connection = open_state(path, SCHEMA)

    assert {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {
        "state.db": 0o600,
        "state.db-shm": 0o600,
        "state.db-wal": 0o600,
    }
    assert path.parent.stat().st_mode & 0o777 == 0o700
    connection.close()


def test_a_commit_is_on_disk_when_it_returns(path: Path) -> None:
    connection = open_state(path, SCHEMA)

    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


def test_reads_back_what_was_written(path: Path) -> None:
    keep(path, "a")
    keep(path, "b")

    connection = open_state(path, SCHEMA)
    assert words(connection) == ["a", "b"]
    connection.close()


def test_two_components_share_the_file(path: Path) -> None:
    keep(path, "a")
    other = Schema("other", (("CREATE TABLE other_words (word TEXT)",),))

    open_state(path, other).close()

    assert read_state(path, SCHEMA, words) == ["a"]


def test_migrates_an_older_file_one_version_at_a_time(path: Path) -> None:
    keep(path, "a")
    newer = Schema("test", (*SCHEMA.migrations, ("ALTER TABLE test_words ADD COLUMN tongue TEXT DEFAULT 'en'",)))

    with pytest.raises(StateFileError, match="start the daemon once"):
        read_state(path, newer, words)
    connection = open_state(path, newer)

    assert connection.execute("SELECT * FROM test_words").fetchall() == [("a", "en")]
    connection.close()
    open_state(path, newer).close()


def test_a_failed_migration_changes_nothing(path: Path) -> None:
    keep(path, "a")
    wrong = Schema("test", (*SCHEMA.migrations, ("DELETE FROM test_words", "CREATE TABLE test_words (x)")))

    with pytest.raises(StateFileError, match="already exists"):
        open_state(path, wrong)

    assert read_state(path, SCHEMA, words) == ["a"]


def test_rejects_a_newer_file_with_a_remedy(path: Path) -> None:
    open_state(path, Schema("test", (*SCHEMA.migrations, ("CREATE TABLE test_more (x)",)))).close()

    for attempt in (lambda: open_state(path, SCHEMA), lambda: read_state(path, SCHEMA, words)):
        with pytest.raises(StateFileError, match=r"newer dockerv6 \(test version 2; this one supports 1\): install"):
            attempt()


def test_rejects_and_keeps_a_file_that_is_not_a_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 100)
    before = path.read_bytes()

    for attempt in (lambda: open_state(path, SCHEMA), lambda: read_state(path, SCHEMA, words)):
        with pytest.raises(StateFileError, match=r"state\.db is damaged .*restore a backup"):
            attempt()
    assert path.read_bytes() == before


def test_rejects_and_keeps_a_file_with_a_torn_page(path: Path) -> None:
    keep(path, *(f"word {number}" * 20 for number in range(1000)))
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(os.urandom(4096))
    before = path.read_bytes()

    with pytest.raises(StateFileError, match=r"state\.db is damaged"):
        open_state(path, SCHEMA)
    with pytest.raises(StateFileError, match=r"state\.db is damaged"):
        read_state(path, SCHEMA, words)

    assert path.read_bytes() == before


def test_reports_a_path_that_cannot_be_created_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StateFileError, match="check the state directory"):
        open_state(tmp_path / "file" / "state.db", SCHEMA)


def test_reports_a_read_only_file_with_a_remedy(path: Path) -> None:
    keep(path, "a")

    with unprivileged(path), pytest.raises(StateFileError, match="writable"):
        open_state(path, SCHEMA)


def test_the_log_is_checkpointed_before_it_exceeds_a_mebibyte(path: Path) -> None:
    connection = open_state(path, SCHEMA)
    for number in range(1000):
        connection.execute("INSERT INTO test_words VALUES (?)", (f"word {number}" * 100,))

    frames = 256 + 16  # a transaction may exceed the limit by its own pages
    assert path.with_name("state.db-wal").stat().st_size <= frames * (4096 + 24)
    connection.close()


def test_opening_an_up_to_date_file_writes_nothing(path: Path) -> None:
    open_state(path, SCHEMA).close()

    connection = open_state(path, SCHEMA)  # must be possible on a full disk

    assert connection.total_changes == 0
    assert path.with_name("state.db-wal").stat().st_size == 0
    connection.close()


def test_reading_a_missing_file_is_an_error(path: Path) -> None:
    with pytest.raises(StateFileMissingError, match="the daemon has not run yet"):
        read_state(path, SCHEMA, words)

    assert not path.parent.exists()


def test_reading_a_component_without_tables_returns_none(path: Path) -> None:
    open_state(path, Schema("other", ())).close()
    assert read_state(path, SCHEMA, words) is None

    path.unlink()
    path.touch()
    assert read_state(path, SCHEMA, words) is None


def test_reading_after_a_clean_end_creates_no_files(path: Path) -> None:
    keep(path, "a")
    assert listing(path) == ["state.db"]

    assert read_state(path, SCHEMA, words) == ["a"]

    assert listing(path) == ["state.db"]


def test_reading_during_writes_sees_committed_rows(path: Path) -> None:
    connection = open_state(path, SCHEMA)
    connection.execute("INSERT INTO test_words VALUES ('a')")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO test_words VALUES ('b')")
    program = """
import sys, pathlib
from dockerv6.lib.statefile import Schema, read_state
schema = Schema("test", ((),))
print(read_state(pathlib.Path(sys.argv[1]), schema, lambda c: c.execute("SELECT word FROM test_words").fetchall()))
"""

    seen = subprocess.run([sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True).stdout

    assert seen == "[('a',)]\n"
    connection.execute("COMMIT")
    connection.close()


def test_reading_after_a_kill_sees_committed_rows(path: Path) -> None:
    write_and_be_killed(path, "a")
    assert listing(path) == ["state.db", "state.db-shm", "state.db-wal"]

    assert read_state(path, SCHEMA, words) == ["a"]

    assert listing(path) == ["state.db", "state.db-shm", "state.db-wal"]


def test_reading_a_log_without_its_index_creates_none(path: Path) -> None:
    write_and_be_killed(path, "a")
    (path.parent / "state.db-shm").unlink()

    assert read_state(path, SCHEMA, words) == ["a"]

    assert listing(path) == ["state.db", "state.db-wal"]


@pytest.mark.parametrize("lost", [(), ("-shm",), ("-shm", "-wal")], ids=["killed", "no index", "no log"])
def test_a_read_only_directory_can_be_read(path: Path, lost: tuple[str, ...]) -> None:
    keep(path, "a")
    write_and_be_killed(path, "b")
    for suffix in lost:
        (path.parent / f"state.db{suffix}").unlink()

    with unprivileged(path):
        seen = read_state(path, SCHEMA, words)

    assert seen == (["a"] if "-wal" in lost else ["a", "b"])


def test_reports_an_unreadable_file_with_a_remedy(path: Path) -> None:
    keep(path, "a")
    path.chmod(0)

    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    try:
        with pytest.raises(StateFileError, match="permissions"):
            read_state(path, SCHEMA, words)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)


def test_reads_again_when_the_file_changes_during_the_read(path: Path) -> None:
    keep(path, "a")
    runs = 0

    def query(connection: sqlite3.Connection) -> list[str]:
        nonlocal runs
        runs += 1
        found = words(connection)
        if runs == 1:
            keep(path, "b")
        return found

    assert read_state(path, SCHEMA, query) == ["a", "b"]
    assert runs == 2


def test_gives_up_on_a_file_that_keeps_changing(path: Path) -> None:
    keep(path, "a")

    def query(_: sqlite3.Connection) -> None:
        keep(path, "b" * 10_000)

    with pytest.raises(StateFileError, match="keeps changing"):
        read_state(path, SCHEMA, query)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (sqlite3.SQLITE_FULL, "free some space"),
        (sqlite3.SQLITE_READONLY, "writable"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "writable"),
        (sqlite3.SQLITE_IOERR_WRITE, "dmesg"),
        (sqlite3.SQLITE_BUSY, "another process"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "restore a backup"),
    ],
)
def test_errors_have_a_remedy(code: int, remedy: str) -> None:
    error = sqlite3.OperationalError("the cause")
    error.sqlite_errorcode = code

    message = describe_error(Path("/var/lib/dockerv6/state.db"), error)

    assert message.startswith("/var/lib/dockerv6/state.db")
    assert "the cause" in message
    assert remedy in message


def test_the_message_about_a_damaged_file_has_one_line() -> None:
    error = sqlite3.DatabaseError("malformed schema (CREATE\n    TABLE)")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    assert describe_error(Path("state.db"), error).startswith("state.db is damaged (malformed schema (CREATE TABLE)). ")


def test_an_error_without_a_remedy_is_reported_unchanged() -> None:
    assert (
        describe_error(Path("state.db"), sqlite3.OperationalError("no such table: x")) == "state.db: no such table: x"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE state_schema SET version = 'abc'",
        "UPDATE state_schema SET version = x'01'",
        "UPDATE state_schema SET version = 1.5",
        "UPDATE state_schema SET version = 0",
        "UPDATE state_schema SET version = -1",
        "DELETE FROM state_schema",
        "UPDATE state_schema SET component = 'x'",
        "DROP TABLE state_schema",
    ],
)
def test_a_damaged_version_is_damage_of_the_file_with_a_remedy(path: Path, statement: str) -> None:
    keep(path, "a")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
    before = path.read_bytes()

    with pytest.raises(StateFileError, match=r"is damaged.*restore a backup"):
        open_state(path, SCHEMA)
    with pytest.raises(StateFileError, match=r"is damaged.*restore a backup"):
        read_state(path, SCHEMA, words)

    assert path.read_bytes() == before


def test_a_damaged_schema_is_damage_of_the_file_also_if_sqlite_quotes_bytes_that_are_not_utf_8(path: Path) -> None:
    keep(path, "a")
    damaged = path.read_bytes().replace(b"CREATE TABLE test_words", b"CREATE \xfe\xff\xfeLE test_words")
    path.write_bytes(damaged)
    for attempt in (lambda: open_state(path, SCHEMA), lambda: read_state(path, SCHEMA, words)):
        with pytest.raises(StateFileError, match=r"is damaged.*restore a backup"):
            attempt()
    assert path.read_bytes() == damaged


def test_it_waits_for_another_connection_that_creates_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    creator = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    creator.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, creator.close)
    timer.start()

    keep(path, "a")

    timer.join()
    assert read_state(path, SCHEMA, words) == ["a"]
