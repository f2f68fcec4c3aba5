"""The state file for asyncio: one thread of its own, and one fsync for all the writes that wait at the same time.

Many keys are reconciled at once and each wants its few rows to be durable before it goes on. Writes that arrive while
a commit is under way are therefore committed together by the next one (group commit); each stands or falls alone.
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
from typing import Generic, TypeVar

from dockerv6.lib.statefile import Schema, StateFileError, describe_error, open_state

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], T]
"""Statements to run; must neither begin nor end a transaction."""


class Database:
    """A component's connection to the state file.

    Work runs in the order in which it was asked for. `settled` callbacks run on the event loop, in that same order,
    before the caller resumes, and also when the caller has been cancelled meanwhile: they keep what is in memory equal
    to what is in the file.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, executor: ThreadPoolExecutor) -> None:
        """Use `open`."""
        self._path = path
        self._connection = connection
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Job] = deque()
        self._unsettled = 0
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether all that was asked for is done: what is in memory is what the next statement would find."""
        return self._unsettled == 0

    @classmethod
    async def open(cls, path: Path, schema: Schema) -> "Database":
        """Open the file, made and migrated as needed.

        Raises:
            StateFileError: it can't be used.
        """
        executor = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{schema.component}")
        try:
            connection = await asyncio.get_running_loop().run_in_executor(executor, open_state, path, schema)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(path, connection, executor)

    async def read(self, work: Work[T], settled: Callable[[T], None] | None = None) -> T:
        """Run a query.

        Raises:
            StateFileError: the file can't be read. Errors of the work's own pass through.
        """
        return await self._submit(_Task(work, settled, writes=False))

    async def write(self, work: Work[T], settled: Callable[[T], None] | None = None) -> T:
        """Run statements in a transaction; what they changed is on the disk when this returns.

        Work that raises leaves no trace, and no mark on the others of its group.

        Raises:
            StateFileError: the file can't be written. Errors of the work's own pass through.
        """
        return await self._submit(_Task(work, settled, writes=True))

    async def close(self) -> None:
        """Finish what was asked for, then close the file. Again is success."""
        if self._closed:
            return
        self._closed = True
        await self._loop.run_in_executor(self._executor, self._connection.close)
        self._executor.shutdown()

    async def _submit(self, task: "_Task[T]") -> T:
        if self._closed:
            raise StateFileError(f"{self._path} is closed already")
        self._unsettled += 1
        self._queue.append(task)
        self._executor.submit(self._drain)
        return await task.future

    def _drain(self) -> None:
        """In the thread: do all that waits. A later call then finds nothing left, which costs next to nothing."""
        jobs: list[_Job] = []
        while self._queue:
            jobs.append(self._queue.popleft())
        for writes, run in groupby(jobs, key=lambda job: job.writes):
            group = list(run)
            if writes:
                self._commit(group)
            else:
                self._query(group)
            for job in group:
                self._loop.call_soon_threadsafe(self._settle, job)

    def _settle(self, job: "_Job") -> None:
        self._unsettled -= 1
        job.settle()

    def _query(self, group: Sequence["_Job"]) -> None:
        for job in group:
            error = job.attempt(self._connection)
            if isinstance(error, sqlite3.Error):
                job.error = StateFileError(describe_error(self._path, error))

    def _commit(self, group: Sequence["_Job"]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._attempt_apart(job)
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody of the group may wait for ever
            for job in group:
                job.error = StateFileError(describe_error(self._path, error))
        finally:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):  # the cause is reported already
                    self._connection.execute("ROLLBACK")

    def _attempt_apart(self, job: "_Job") -> None:
        """Do a job so that its failure undoes only what it did itself."""
        self._connection.execute("SAVEPOINT job")
        error = job.attempt(self._connection)
        if error is not None:
            if not self._connection.in_transaction:
                raise error  # SQLite rolled everything back, as it may when the disk is full
            self._connection.execute("ROLLBACK TO job")
        if isinstance(error, sqlite3.Error):
            job.error = StateFileError(describe_error(self._path, error))
        self._connection.execute("RELEASE job")


class _Job(ABC):
    """What the thread sees of a task, whatever its result."""

    writes: bool
    error: Exception | None

    @abstractmethod
    def attempt(self, connection: sqlite3.Connection) -> Exception | None:
        """In the thread: do the work and keep its result, or its error."""

    @abstractmethod
    def settle(self) -> None:
        """On the event loop: hand the outcome over."""


class _Task(_Job, Generic[T]):
    def __init__(self, work: Work[T], settled: Callable[[T], None] | None, *, writes: bool) -> None:
        self.writes = writes
        self.error = None
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._work = work
        self._settled = settled
        self._results: list[T] = []

    def attempt(self, connection: sqlite3.Connection) -> Exception | None:
        try:
            self._results.append(self._work(connection))
        except Exception as error:  # noqa: BLE001 - it goes to the caller
            self.error = error
        return self.error

    def settle(self) -> None:
        if self.error is not None:
            if not self.future.done():
                self.future.set_exception(self.error)
            return
        (result,) = self._results
        # The future's callbacks run in a later turn of the event loop: `settled` comes first all the same.
        if not self.future.done():
            self.future.set_result(result)
        if self._settled is not None:
            self._settled(result)
