"""Values that are read on use, once they are stale."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from dockerv6.firewall.port import FirewallBackend, FirewallError
from dockerv6.firewall.ruleset import Ruleset, RulesetChange

T = TypeVar("T")

_GENERATIONS = 0xFFFF_FFFF


class Cached(Generic[T]):
    """A value that is read on use when it is stale; one read serves all concurrent uses."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._value: T | None = None
        self._epoch = 0
        self._fresh = -1
        self._lock = asyncio.Lock()

    def invalidate(self) -> None:
        """Mark the value stale."""
        self._epoch += 1

    @property
    def last(self) -> T | None:
        """The value as last read, stale or not."""
        return self._value

    def put(self, value: T) -> None:
        """Set the value without a read. A read that is under way may be older, so the value is read again after it."""
        fresh = self._fresh == self._epoch
        self._epoch += 1
        if fresh:
            self._fresh = self._epoch
        self._value = value

    async def get(self) -> T:
        """The value, read if it is stale. An error of the read is raised, and the value stays stale."""
        # without the lock: once a task waits for it, every task that asks for the value would wait for its turn
        if self._fresh == self._epoch and self._value is not None:
            return self._value
        async with self._lock:
            if self._fresh != self._epoch or self._value is None:
                epoch = self._epoch
                self._value = await self._read()
                self._fresh = epoch
            return self._value


class CachedTable:
    """Our table as read last, for as long as no notification says that it changed."""

    def __init__(self, backend: FirewallBackend) -> None:
        """Read nothing yet."""
        self._backend = backend
        self._table: Ruleset | None = None  # None: read it before it is used
        self._latest: Ruleset | None = None
        self._generation: int | None = None  # the kernel's, of that reading; None: the backend counts none
        self._announced: int | None = None  # the generation of a change that the reading may not have
        self._epoch = 0

    def invalidate(self, generation: int | None = None) -> None:
        """The table changed; see `FirewallReconciler.invalidate`."""
        if generation is not None:
            self._announced = generation
            return
        self._epoch += 1
        self._table = None

    async def get(self) -> Ruleset:
        """The table; the same object for as long as it does not change. Raises `FirewallError`."""
        if self._table is not None and self._is_current():
            return self._table
        epoch, announced = self._epoch, self._announced
        table = self._keep(await self._backend.observe(), epoch)
        if self._generation is None and announced == self._announced:
            self._announced = None
        return table

    async def apply(self, change: RulesetChange) -> None:
        """Commit the change, and keep what was read back. Raises `FirewallError`."""
        epoch = self._epoch
        try:
            table = await self._backend.apply(change)
        except FirewallError:
            self.invalidate()
            raise
        self._keep(table, epoch)

    def _keep(self, table: Ruleset, epoch: int) -> Ruleset:
        """Keep the reading, unless the table changed while it was read: then it is good for one use."""
        if self._latest is None or table != self._latest:
            self._latest = table
        self._generation = self._backend.generation
        self._table = self._latest if epoch == self._epoch else None
        return self._latest

    def _is_current(self) -> bool:
        if self._announced is None or self._generation is None:
            return self._announced is None
        # the kernel counts in 32 bits and starts again at 0
        return (self._generation - self._announced) & _GENERATIONS <= _GENERATIONS // 2
