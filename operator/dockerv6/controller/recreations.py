"""Docker networks that are being recreated: how each was before, kept in the store, so that it can be rolled back.

A network with a record here is in flight. The record is dropped when the network is as it should be, or as it was.
"""

from collections.abc import Mapping
from ipaddress import IPv6Network

from dockerv6.controller.records import RecordCodec
from dockerv6.dockerd.model import NetworkSpec
from dockerv6.planning.docker.recreation import PreviousNetwork
from dockerv6.store.port import Store

RECREATIONS = "former"
"""Store scope: the previous network of each resource that is in flight."""

_SPEC = RecordCodec(NetworkSpec)


ROLLBACK_RETRY = 5.0
"""Seconds until a rollback is tried again that the engine refused; doubled each time."""

ROLLBACK_RETRY_MAX = 600.0


class InFlightRecreations:
    """The resources whose network is being recreated, by pool: a pool limits how many may be at the same time."""

    def __init__(self, store: Store) -> None:
        """Know none before `load`."""
        self._store = store
        self._pools: dict[str, str] = {}
        self._refused: dict[str, tuple[str, str]] = {}
        self._refused_rollbacks: dict[str, tuple[int, float]] = {}  # their number, and when to try again, monotonic

    async def load(self) -> None:
        """Read those that were in flight when the previous process ended. Raises `StoreError`."""
        records = await self._store.records(RECREATIONS)
        self._pools = {name: str(each.get("pool", "")) for name, each in records.items()}

    def others(self, pool: str, name: str) -> tuple[str, ...]:
        """The other resources of that pool that are in flight."""
        return tuple(sorted(each for each, of in self._pools.items() if of == pool and each != name))

    def claim(self, name: str, pool: str) -> None:
        """Count a resource as in flight from its plan on, before its first step writes the record."""
        self._pools[name] = pool

    async def remember(self, name: str, previous: PreviousNetwork) -> None:
        """Write down the previous network. One that is in flight already keeps its first record."""
        if await self._store.record(RECREATIONS, name) is None:
            record = {**_SPEC.encode(previous.spec), "pool": previous.pool, "subnet": str(previous.subnet)}
            await self._store.put_record(RECREATIONS, name, record)
        self._pools[name] = previous.pool

    async def previous(self, name: str) -> PreviousNetwork | None:
        """The previous network; None: there is no record, or it is damaged."""
        record = await self._store.record(RECREATIONS, name)
        return _decode(record) if record is not None else None

    async def complete(self, name: str) -> str | None:
        """Drop the record of a network that is as it should be, or as it was.

        Returns the pool, whose other networks may be recreated now; None: the network was not in flight.
        """
        pool = self._pools.get(name)
        if pool is not None:
            await self._store.drop_record(RECREATIONS, name)
            self._pools.pop(name, None)
            self._refused_rollbacks.pop(name, None)
        return pool

    def refuse(self, name: str, fingerprint: str, why: str) -> None:
        """Remember that the engine refused the network with this spec hash: it is not tried again."""
        self._refused[name] = (fingerprint, why)

    def refused(self, name: str) -> tuple[str, str]:
        """The spec hash that was refused last, and why; empty: none."""
        return self._refused.get(name, ("", ""))

    def refuse_rollback(self, name: str, now: float) -> None:
        """Remember that the engine refused the previous network too: the rollback waits, each time longer."""
        count = self._refused_rollbacks.get(name, (0, 0.0))[0]
        delay = min(ROLLBACK_RETRY * 2**count, ROLLBACK_RETRY_MAX)
        self._refused_rollbacks[name] = (count + 1, now + delay)

    def may_roll_back(self, name: str, now: float) -> bool:
        """Whether a rollback may be tried; both networks in turn would be created without end otherwise."""
        return now >= self._refused_rollbacks.get(name, (0, now))[1]

    def forget(self, name: str) -> None:
        """Forget the refusals: the resource is deleted."""
        self._refused.pop(name, None)
        self._refused_rollbacks.pop(name, None)


def _decode(record: Mapping[str, object]) -> PreviousNetwork | None:
    spec, subnet, pool = _SPEC.decode(record), record.get("subnet"), record.get("pool")
    try:
        prefix = IPv6Network(subnet) if isinstance(subnet, str) else None
    except ValueError:
        return None
    return PreviousNetwork(spec, prefix, pool) if spec and prefix and isinstance(pool, str) else None
