"""A lookup over objects in memory, for tests and simulations."""

from dockerv6.reconciler.request import Key


class FakeLookup:
    """Objects that exist because their keys were put into `objects`, and are being deleted if also in `tombstones`."""

    def __init__(self, *objects: Key) -> None:
        """Begin with these objects."""
        self.objects: set[Key] = set(objects)
        self.tombstones: set[Key] = set()
        self.failure: Exception | None = None
        """Raised by every call while set, as by a store whose disk is full."""

    def delete(self, key: Key) -> None:
        """Ask for the deletion of an object."""
        self.tombstones.add(key)

    async def keys(self, kind: str) -> tuple[Key, ...]:
        """Objects of the kind by name."""
        self._fail()
        return tuple(sorted(key for key in self.objects if key.kind == kind))

    async def deleting(self, key: Key) -> bool:
        """Whether the object has a tombstone."""
        self._fail()
        return key in self.tombstones

    async def finalized(self, key: Key) -> None:
        """Drop the object and its tombstone."""
        self._fail()
        self.objects.discard(key)
        self.tombstones.discard(key)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
