"""The announcements of a host in memory. Never: know what there is to announce."""

import asyncio
from collections.abc import AsyncIterator

from dockerv6.hostnet.changes import ChangeQueue
from dockerv6.hostnet.model import ChangeKind, HostChange


class Announcements:
    """Told to everybody who follows, each at their own pace."""

    def __init__(self) -> None:
        """Nobody follows yet."""
        self._readers: set[_Reader] = set()
        self._closed = False

    async def follow(self) -> AsyncIterator[HostChange]:
        """What is announced from now on, LOST first; until `close`."""
        reader = _Reader(closed=self._closed)
        self._readers.add(reader)
        try:
            while (change := await reader.take()) is not None:
                yield change
        finally:
            self._readers.discard(reader)

    def announce(self, kind: ChangeKind, subject: str, generation: int | None = None) -> None:
        """See `model.Change`."""
        for reader in self._readers:
            reader.add(kind, subject, generation)

    def lose(self) -> None:
        """The followers' sockets overflow."""
        for reader in self._readers:
            reader.lose()

    def close(self) -> None:
        """There is no more to come for anybody."""
        self._closed = True
        for reader in self._readers:
            reader.close()


class _Reader:
    """One iteration of changes."""

    def __init__(self, *, closed: bool) -> None:
        self._pending = ChangeQueue()
        self._pending.lose()
        self._closed = closed
        self._wake = asyncio.Event()

    async def take(self) -> HostChange | None:
        while not self._pending and not self._closed:
            self._wake.clear()
            await self._wake.wait()
        return None if self._closed else self._pending.take()

    def add(self, kind: ChangeKind, subject: str, generation: int | None) -> None:
        self._pending.add(kind, subject, generation)
        self._wake.set()

    def lose(self) -> None:
        self._pending.lose()
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
