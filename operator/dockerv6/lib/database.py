"""The state file for asyncio: a thread per connection, and one fsync for all writes that wait at the same time.

Many keys are reconciled at once, and each needs its few rows to be durable before it continues. Writes that arrive
during a commit are therefore committed together by the next one (group commit). Each succeeds or fails separately.
"""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Generic, Self, TypeVar

from dockerv6.lib.statefile import Schema, StateFileError, describe_error, means_damage, open_state

T = TypeVar("T")

_DATA_ERRORS = (sqlite3.Error, ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""What statements raise, and what code raises that meets a value which it can't handle."""

Statements = Callable[[sqlite3.Connection], T]
"""Runs statements on a connection; must neither begin nor end a transaction."""


class Database:
    """A component's connection to the state file.

    Calls run in the order in which they were made. Their `on_done` callbacks run on the event loop, in the same order,
    before the caller resumes, and also when the caller was cancelled: they keep a cache equal to the file.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        connection: sqlite3.Connection,
        executor: ThreadPoolExecutor,
        error: type[Exception],
    ) -> None:
        """Take an open connection and the thread that uses it; `open` makes both."""
        self._path = path
        self._schema = schema
        self._error = error
        self._connection: sqlite3.Connection | None = connection
        self._problem = ""  # why calls fail while no file is open; "": they wait for `attach`
        self.damaged = ""
        """What SQLite reported when it found the file damaged; "": it has not."""
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Job] = deque()
        self._pending = 0
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether no call is pending: a cache has what the next statement would find."""
        return self._pending == 0

    @classmethod
    async def open(cls, path: Path, schema: Schema, error: type[Exception] = StateFileError) -> "Database":
        """Open the file; create and migrate it if needed.

        Args:
            path: of the file.
            schema: the component's tables.
            error: the component's exception, which this and all other methods raise when the file can't be used. It
                takes the message as its argument.
        """
        executor = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{schema.component}")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(executor, open_state, path, schema)
        except BaseException as failure:
            executor.shutdown(wait=False)
            if isinstance(failure, StateFileError):
                raise error(str(failure)) from failure
            raise
        return cls(path, schema, connection, executor, error)

    async def read(self, run: Statements[T], on_done: Callable[[T], None] | None = None) -> T:
        """Run a query. Errors of SQLite and of data become the component's exception, those of `run` itself pass."""
        return await self._submit(_Task(run, on_done, writes=False))

    async def write(self, run: Statements[T], on_done: Callable[[T], None] | None = None) -> T:
        """Run statements in a transaction; their changes are on disk when this returns.

        If `run` raises, its exception is treated as by `read` and its changes are undone; the other writes of its
        group are not affected.
        """
        return await self._submit(_Task(run, on_done, writes=True))

    async def close(self) -> None:
        """Finish pending calls, then close the file. Closing again is success."""
        if self._closed:
            return
        self._closed = True
        self._problem = self._problem or f"{self._path} is closed already"
        await self._loop.run_in_executor(self._executor, self._disconnect_and_fail)
        self._executor.shutdown()

    async def detach(self) -> None:
        """Close the file after the pending calls. Later ones wait for `attach` or `refuse`; one of them must follow."""
        self._problem = ""
        await self._loop.run_in_executor(self._executor, self._disconnect)

    def refuse(self, problem: str) -> None:
        """Close the file, after the pending calls. Those that wait, and later ones, fail with the problem."""
        if not self._closed:
            self._problem = problem or f"{self._path} can't be used"
            self._executor.submit(self._disconnect_and_fail)

    async def attach(self, write: Statements[None]) -> None:
        """Open the file again, which is another one now, and write its contents, in one transaction.

        Raises:
            The component's exception: the file can't be used. Calls wait until it can be attached, or for `refuse`.
        """

        def work() -> None:
            connection = open_state(self._path, self._schema)
            try:
                connection.execute("BEGIN IMMEDIATE")
                write(connection)
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            # here, so that the connection is known if the caller is cancelled meanwhile
            self._connection = connection

        try:
            await self._loop.run_in_executor(self._executor, work)
        except StateFileError as error:
            raise self._error(str(error)) from error
        except Exception as error:
            raise self._error(describe_error(self._path, error)) from error
        self._problem = self.damaged = ""
        self._executor.submit(self._drain)

    def _disconnect_and_fail(self) -> None:
        self._disconnect()
        self._drain()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # a damaged file can't be checkpointed
                connection.close()

    async def _submit(self, task: "_Task[T]") -> T:
        if self._closed:
            raise self._error(f"{self._path} is closed already")
        self._pending += 1
        self._queue.append(task)
        self._executor.submit(self._drain)
        return await task.future

    def _drain(self) -> None:
        """Run all pending jobs, on the thread. The next call then finds an empty queue, which costs almost nothing."""
        if self._connection is None and not self._problem:
            return  # `attach` or `refuse` continues
        jobs: list[_Job] = []
        while self._queue:
            jobs.append(self._queue.popleft())
        for writes, run in groupby(jobs, key=lambda job: job.writes):
            group = list(run)
            if self._connection is None:
                for job in group:
                    job.error = self._error(self._problem)
            elif writes:
                self._commit(group, self._connection)
            else:
                self._query(group, self._connection)
            for job in group:
                self._loop.call_soon_threadsafe(self._finish, job)

    def _finish(self, job: "_Job") -> None:
        self._pending -= 1
        try:
            job.apply()
        except Exception as error:  # noqa: BLE001 - the caller must learn that its cache is not what the file has
            job.error = self._described(error)
        job.finish()

    def _query(self, group: Sequence["_Job"], connection: sqlite3.Connection) -> None:
        for job in group:
            self._attempt(job, connection)

    def _commit(self, group: Sequence["_Job"], connection: sqlite3.Connection) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._attempt_in_savepoint(job, connection)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - no job of the group may wait forever
            for job in group:
                job.error = self._described(error)
        finally:
            if connection.in_transaction:
                with suppress(sqlite3.Error):  # the cause has been reported
                    connection.execute("ROLLBACK")

    def _attempt_in_savepoint(self, job: "_Job", connection: sqlite3.Connection) -> None:
        """Run a job so that its failure undoes only its own changes."""
        connection.execute("SAVEPOINT job")
        error = self._attempt(job, connection)
        if error is not None:
            if not connection.in_transaction:
                raise error  # SQLite has rolled back the whole transaction, as it may on a full disk
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")

    def _attempt(self, job: "_Job", connection: sqlite3.Connection) -> Exception | None:
        """Run a job; return what it raised."""
        error = job.attempt(connection)
        if isinstance(error, _DATA_ERRORS):
            job.error = self._described(error)
        return error

    def _described(self, error: Exception) -> Exception:
        if means_damage(error):
            self.damaged = str(error)
        return self._error(describe_error(self._path, error))


class CachedTables(ABC):
    """A component's tables in the state file, and all that it committed in memory.

    So its file can be written again when it was removed, replaced or damaged.
    """

    def __init__(self, database: Database) -> None:
        """Start with an empty cache."""
        self._database = database
        self._problems: tuple[str, ...] = ()

    async def filled(self) -> Self:
        """Fill the cache; if that fails, close the file."""
        try:
            await self.refresh()
        except BaseException:
            await self.close()
            raise
        return self

    @abstractmethod
    async def refresh(self) -> None:
        """Read the cache again."""

    @abstractmethod
    def _write_all(self, connection: sqlite3.Connection) -> None:
        """Write what the cache has to empty tables."""

    @property
    def problems(self) -> tuple[str, ...]:
        """The rows that could not be read at the last refresh, and why."""
        return self._problems

    @property
    def damaged(self) -> str:
        """What SQLite reported when it found the file damaged; "": it has not."""
        return self._database.damaged

    async def detach(self) -> None:
        """Close the file. Later calls wait for `attach` or `refuse`, one of which must follow."""
        await self._database.detach()

    def refuse(self, problem: str) -> None:
        """Close the file. Calls that wait, and later ones, fail with the problem until `attach`."""
        self._database.refuse(problem)

    async def attach(self) -> None:
        """Open the file, which is a new one, and write everything from memory. Raises the component's error."""
        await self._database.attach(self._write_all)
        self._problems = ()

    async def close(self) -> None:
        """Finish pending writes, then close the file."""
        await self._database.close()


class _Job(ABC):
    """A task without its result type."""

    writes: bool
    error: Exception | None

    @abstractmethod
    def attempt(self, connection: sqlite3.Connection) -> Exception | None:
        """Run the statements, on the thread; keep the result or the exception."""

    @abstractmethod
    def apply(self) -> None:
        """Call `on_done` with the result, if there is one, on the event loop."""

    @abstractmethod
    def finish(self) -> None:
        """Deliver the outcome, on the event loop."""


class _Task(_Job, Generic[T]):
    def __init__(self, run: Statements[T], on_done: Callable[[T], None] | None, *, writes: bool) -> None:
        self.writes = writes
        self.error = None
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._run = run
        self._on_done = on_done
        self._results: list[T] = []

    def attempt(self, connection: sqlite3.Connection) -> Exception | None:
        try:
            self._results.append(self._run(connection))
        except Exception as error:  # noqa: BLE001 - re-raised in the caller
            self.error = error
        return self.error

    def apply(self) -> None:
        if self.error is None and self._on_done is not None:
            self._on_done(self._results[0])

    def finish(self) -> None:
        if self.future.done():
            return  # the caller was cancelled
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self._results[0])
