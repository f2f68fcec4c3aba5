"""Keys that become due later."""

import heapq

from dockerv6.reconciler.request import Key

_SLACK = 64
"""Stale heap entries that are not worth a rebuild."""


class Delays:
    """At most one due time a key: the earliest asked for. Knows no clock."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []  # may hold stale entries; _due is what counts
        self._added = 0

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: Key) -> bool:
        return key in self._due

    def add(self, key: Key, due: float) -> None:
        """Make the key due at that time, unless it is due earlier anyway."""
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        self._added += 1  # keys due at the same time come in the order in which they were added
        heapq.heappush(self._heap, (due, self._added, key))
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def discard(self, key: Key) -> None:
        """Forget the key's due time, if it has one."""
        self._due.pop(key, None)

    def next(self) -> float | None:
        """The earliest due time."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> list[Key]:
        """Take out the keys that are due, earliest first."""
        keys = []
        while (due := self.next()) is not None and due <= now:
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            keys.append(key)
        return keys
