"""The state file: one SQLite database in the state directory, in which each component has its own tables.

Errors::

    StateFileError              it can't be opened or read; the message names the file and the remedy
    └── StateFileMissingError   there is no file

`lib.database` gives the daemon asynchronous access; the command line reads with `read_state`. To keep its start-up
fast, this module imports nothing heavier than sqlite3.
"""

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

T = TypeVar("T")

STATE_FILE = "state.db"
"""The file's name in the state directory."""

BUSY_SECONDS = 10.0
"""How long a statement waits for the write of another connection, which takes milliseconds."""

_JOURNAL_PAGES = 256  # pages (1 MiB) in the write-ahead log after which it is checkpointed; SQLite's default is 4 MB
_JOURNAL_BYTES = 1 << 20  # size to which a checkpoint truncates the log, which grows while another process reads
_READ_ATTEMPTS = 5
_CACHE_KIB = 64  # of each component's connection: what is read is kept in memory anyway; SQLite's default is 2 MiB
_CHECK_LIMIT = 1000  # problems that `PRAGMA quick_check` lists
_ROW_PROBLEM = re.compile(r"(NULL|NUMERIC|TEXT|non-\w+) value in ")  # of SQLite (pragma.c), about one row


class StateFileError(Exception):
    """The state file can't be opened or read. The message holds the remedy."""


class StateFileMissingError(StateFileError):
    """There is no state file: no daemon has run with this state directory yet."""


def _text(raw: bytes) -> str:
    """The text factory of connections. The default one ends the whole query at a text that is not UTF-8."""
    return raw.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Schema:
    """A component's tables: ``migrations[n]`` has the statements that upgrade version n to n + 1.

    A released migration is never edited; a change appends another one.
    """

    component: str
    migrations: tuple[tuple[str, ...], ...]

    @property
    def version(self) -> int:
        """The newest version that this program supports."""
        return len(self.migrations)


def open_state(path: Path, schema: Schema) -> sqlite3.Connection:
    """Open the file for writing: create it if needed (mode 0600), check it, and migrate the component's tables.

    The connection is in autocommit mode: the caller sends BEGIN. A commit is on disk when it returns.

    Raises:
        StateFileError: the file can't be used. A damaged file is not modified.
    """
    try:
        _create(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
        raise StateFileError(describe_error(path, error)) from error
    connection.text_factory = _text
    try:
        # FULL: in WAL mode NORMAL would lose the last commits at a power failure (https://sqlite.org/pragma.html).
        connection.execute("PRAGMA synchronous = FULL")
        _use_write_ahead_log(connection)
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_JOURNAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
        _check(connection, path)
        _migrate(connection, path, schema)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        connection.close()
        raise StateFileError(describe_error(path, error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Set the journal mode of the file.

    SQLite does not wait for other connections here: of two that create the file at once, one gets SQLITE_BUSY.
    """
    deadline = monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(0.01)
        else:
            return


def read_state(path: Path, schema: Schema, query: Callable[[sqlite3.Connection], T]) -> T | None:
    """Run a query from another process; None if the component has no tables. The directory is not modified.

    Works while the daemon writes, when it is not running, after it was killed, and when the directory is read-only. A
    process that has the file open for writing must not use it: when a process closes any descriptor of a file, POSIX
    drops all its locks on that file. The query may run several times.

    Raises:
        StateFileMissingError: there is no such file.
        StateFileError: it can't be read.
    """

    def checked(connection: sqlite3.Connection) -> T | None:
        return query(connection) if _check_version(connection, path, schema) else None

    try:
        for _ in range(_READ_ATTEMPTS):
            before = _fingerprint(path)
            result = _read_as_it_is(path, before, checked)
            if before.live or _fingerprint(path) == before:
                return result
    except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
        raise StateFileError(describe_error(path, error)) from error
    raise StateFileError(f"{path} keeps changing while it is read: try again")


def describe_error(path: Path, error: Exception) -> str:
    """Describe an error of the file, with a remedy."""
    if isinstance(error, FileNotFoundError):
        return f"{path} can't be created: its directory is missing; create it, or configure another state directory"
    if isinstance(error, OSError):
        return f"{path} can't be used: {error.strerror}; check the state directory's owner, permissions and disk"
    if means_damage(error):
        return _damaged(path, str(error))
    remedy = _REMEDIES.get(_code(error))
    return f"{path}: {error}" + (f"; {remedy}" if remedy else "")


def means_damage(error: Exception) -> bool:
    """Whether SQLite found the file damaged as a whole. Its message may quote bytes of the file that are not UTF-8."""
    return isinstance(error, UnicodeDecodeError) or _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the primary result code


_REMEDIES = {
    sqlite3.SQLITE_FULL: "its disk or quota is full: free some space; nothing that was stored is lost",
    sqlite3.SQLITE_READONLY: "mount its file system writable, and check the owner and permissions of the directory",
    sqlite3.SQLITE_CANTOPEN: "check the owner and permissions of the directory, and that its file system is writable",
    sqlite3.SQLITE_PERM: "check the owner and permissions of the directory and of the file",
    sqlite3.SQLITE_BUSY: "another process has it locked: find it with `fuser` and stop it",
    sqlite3.SQLITE_LOCKED: "another process has it locked: find it with `fuser` and stop it",
    sqlite3.SQLITE_IOERR: "the disk reports errors: see `dmesg`, and that there is space left",
    sqlite3.SQLITE_PROTOCOL: "its file system does not support locks: use a local disk, not a network share",
}


def _damaged(path: Path, detail: str) -> str:
    line = " ".join(detail.split())  # SQLite may quote a table's definition
    return (
        f"{path} is damaged ({line}). It was not modified. Stop dockerv6, then restore a backup; or move "
        f"{path.name}, {path.name}-wal and {path.name}-shm away to start without a record of earlier allocations"
    )


def _create(path: Path) -> None:
    """Create an empty file that only its owner can read; SQLite gives -wal and -shm the same mode.

    An existing file is not opened here: closing it would drop the locks of this process's other connections.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)  # the name must survive a power failure, as the content does
        finally:
            os.close(directory)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Check the structure of the file. Damaged values in it are problems of their rows (`lib.rows`)."""
    connection.execute("PRAGMA ignore_check_constraints = ON")
    found = [str(message) for (message,) in connection.execute(f"PRAGMA quick_check({_CHECK_LIMIT})")]
    connection.execute("PRAGMA ignore_check_constraints = OFF")
    structural = [message for message in found if message != "ok" and not _ROW_PROBLEM.match(message)]
    if structural:
        raise StateFileError(_damaged(path, structural[0]))


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS state_schema (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
        )
        version = _version(connection, path, schema)
        _refuse_newer(path, schema, version)
        for migration in schema.migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        # Write only if needed: on a full disk the daemon must still be able to start.
        if version < schema.version:
            connection.execute("INSERT OR REPLACE INTO state_schema VALUES (?, ?)", (schema.component, schema.version))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection, path: Path, schema: Schema) -> int:
    """The version of the component's tables, whose names begin with its own; 0: there are none."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = None
    if "state_schema" in tables:
        query = "SELECT version FROM state_schema WHERE component = ?"
        found = connection.execute(query, (schema.component,)).fetchone()
    if found is None:
        if any(name.startswith(f"{schema.component}_") for name in tables):
            raise StateFileError(_damaged(path, f"the version of {schema.component} is missing"))
        return 0
    if not isinstance(found[0], int) or found[0] < 1:
        raise StateFileError(_damaged(path, f"the version of {schema.component} is {found[0]!r}"))
    return found[0]


def _refuse_newer(path: Path, schema: Schema, version: int) -> None:
    if version > schema.version:
        raise StateFileError(
            f"{path} was written by a newer dockerv6 ({schema.component} version {version}; this one supports "
            f"{schema.version}): install that version again, or restore the backup made before the upgrade"
        )


def _check_version(connection: sqlite3.Connection, path: Path, schema: Schema) -> bool:
    """Return whether the component's tables exist, in the version that this program reads."""
    version = _version(connection, path, schema)
    _refuse_newer(path, schema, version)
    if 0 < version < schema.version:
        raise StateFileError(f"{path} was written by an older dockerv6: start the daemon once to bring it up to date")
    return version > 0


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    """Inode, size and modification time of the file and of its write-ahead log: they change with every write."""

    file: tuple[int, int, int]
    log: tuple[int, int, int] | None
    live: bool  # the log and its shared index exist: SQLite itself gives a reader a consistent view


def _fingerprint(path: Path) -> _Fingerprint:
    file = _stat(path)
    if file is None:
        raise StateFileMissingError(
            f"there is no {path}: the daemon has not run yet, or it uses another state directory"
        )
    log = _stat(_beside(path, "-wal"))
    return _Fingerprint(file, log, live=log is not None and _beside(path, "-shm").exists())


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _read_as_it_is(path: Path, before: _Fingerprint, query: Callable[[sqlite3.Connection], T]) -> T:
    """Read in the mode that the existing files allow. SQLite would create missing ones, even with mode=ro."""
    if before.live:
        return _query(path, "mode=ro", query)
    if before.log is None:  # closed cleanly: the file is complete, and no process has it open
        return _query(path, "immutable=1", query)
    # After a kill and the loss of -shm (a restored backup) the log must be replayed, which needs a private copy.
    import shutil  # noqa: PLC0415 - rare, and start-up is budgeted
    import tempfile  # noqa: PLC0415 - same

    with tempfile.TemporaryDirectory(prefix="dockerv6-") as directory:
        copy = Path(directory, path.name)
        shutil.copyfile(path, copy)
        shutil.copyfile(_beside(path, "-wal"), _beside(copy, "-wal"))
        return _query(copy, "mode=rw", query)


def _query(path: Path, mode: str, query: Callable[[sqlite3.Connection], T]) -> T:
    uri = f"{path.absolute().as_uri()}?{mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.text_factory = _text
        connection.execute("BEGIN")
        return query(connection)
