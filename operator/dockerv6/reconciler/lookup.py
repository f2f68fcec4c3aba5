"""The port through which the manager learns about objects without knowing what they are."""

from collections.abc import Iterable
from typing import Protocol

from dockerv6.reconciler.request import Key


class Lookup(Protocol):
    """Answers for whoever keeps the objects. An exception counts as a failure of the key's run and is retried."""

    async def keys(self, kind: str) -> Iterable[Key]:
        """All objects of the kind, those being deleted included."""
        ...

    async def deleting(self, key: Key) -> bool:
        """Whether the object has a tombstone: it is to be finalized, not reconciled. An unknown object has none."""
        ...

    async def finalized(self, key: Key) -> None:
        """Remove the tombstone: nothing of the object is left in the world.

        The object may have been created again in the meantime; that must win (compare and swap).
        """
        ...
