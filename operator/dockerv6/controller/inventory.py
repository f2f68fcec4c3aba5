"""Resources, allocations, pool prefixes and tracked prefixes in memory, written through to the store and the ledger.

The operator is the only writer of both (flock on the state directory), so the memory is always current: a reconcile
that needs a thousand allocations does not read them from disk.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv6Network

from dockerv6.api.addressing import DEFAULT_POOL
from dockerv6.api.errors import InvalidObject
from dockerv6.api.kinds import NETWORK, POOL
from dockerv6.api.meta import name_problem
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.pool import IPv6Pool
from dockerv6.api.scheme import MODELS, Resource, decode
from dockerv6.controller.records import RecordCodec
from dockerv6.ipam.ledger import Allocation, Ledger, LedgerConflict, SubnetTaken
from dockerv6.lib.clock import Clock
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix, moved_in_time
from dockerv6.planning.admission import implied_default_pool
from dockerv6.planning.inputs import Holdings
from dockerv6.store.model import SUSPENDED, StoredObject, as_unreadable
from dockerv6.store.port import Store

TRACKED_PREFIXES = "followed"
"""Store scope: the tracked prefix of each interface."""

CREATED = "created-network"
"""Store scope: the Docker networks that this installation created, by id."""

UNCONFIRMED = "unconfirmed-network"
"""Store scope: the Docker networks whose creation was requested and neither confirmed nor refused, by name."""

INSTALLATION = "installation"
"""Store scope: what is known about the state file itself."""

STATE, LOST = "state", "lost"
"""Records in that scope: the state was used before; and some of it was lost, as far as is known."""

SMALLEST_STEP = 1.0
"""Seconds by which the system time must differ from the monotonic clock to count as set."""

_TRACKED_PREFIX = RecordCodec(TrackedPrefix)


class Inventory:
    """The accepted resources, and what is allocated to them."""

    def __init__(self, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._offset = clock.now() - clock.monotonic()  # of the system time, as of the times in memory
        self._writing = asyncio.Lock()  # a resource may come back while its tombstone is removed
        self._ledger = ledger
        self._objects: dict[tuple[str, str], StoredObject] = {}
        self._resources: dict[tuple[str, str], Resource] = {}
        self._allocations: dict[tuple[str, IPv6Network], Allocation] = {}
        self._pool_prefixes: dict[str, IPv6Network] = {}
        self._tracked: dict[str, TrackedPrefix] = {}
        self.created_networks: frozenset[str] = frozenset()
        """Ids of the Docker networks that this installation created, as recorded."""
        self.unconfirmed_networks: dict[str, float] = {}
        """When the creation of a Docker network was requested, or its record was read: system time, by name."""
        self._holdings: Holdings | None = None
        self._suspended: frozenset[str] = frozenset()
        self._networks: dict[str, NetworkResource] | None = None
        self._pools: dict[str, IPv6Pool] | None = None
        self._policies: dict[str, IPv6Policy] | None = None
        self.sources_listed = False
        """Whether every source has been listed once. Until then what no resource asks for may yet be asked for."""
        self.state_lost = False
        """Whether the state file was new or damaged at a start: what exists on the host may be from before its loss."""
        self.unknown: tuple[StoredObject, ...] = ()
        """Objects in the store whose kind or name no resource of this version can have. Nothing acts on them."""
        self.version = 0
        """Grows with every change that the desired rules may depend on."""

    async def load(self) -> None:
        """Read everything. Raises `StoreError`, `LedgerError`."""
        await self._notice_loss()
        self._suspended = await self._read_suspended()
        self._objects, self._resources, unknown = {}, {}, []
        for stored in await self._store.objects():
            if stored.kind in MODELS and name_problem(stored.name) is None:
                self._load(stored)
            else:
                unknown.append(stored)
        self.unknown = tuple(unknown)
        await self._reload_allocations()
        self._pool_prefixes = {p.pool: p.prefix for p in await self._ledger.pool_prefixes()}
        tracked = (_TRACKED_PREFIX.decode(record) for record in (await self._store.records(TRACKED_PREFIXES)).values())
        self._tracked = {each.interface: each for each in tracked if each is not None}
        self._changed(resources=True)
        # a former version wrote no record, but the id into the status
        managed = (self._objects[NETWORK, name] for name, each in self.networks().items() if not each.observed)
        applied = {str(stored.status["networkID"]) for stored in managed if stored.status.get("networkID")}
        self.created_networks = frozenset(await self._store.records(CREATED)) | applied
        self.unconfirmed_networks = dict.fromkeys(await self._store.records(UNCONFIRMED), self.now())

    async def _notice_loss(self) -> None:
        """Notice that the state file is new, or has damaged rows. It is remembered until it is known to be harmless."""
        used = STATE in await self._store.records(INSTALLATION)
        empty = not await self._store.objects() and not await self._ledger.allocations()
        if (empty and not used) or self._store.problems:
            await self._store.put_record(INSTALLATION, LOST, {})
        if not used:
            await self._store.put_record(INSTALLATION, STATE, {})
        self.state_lost = await self._store.record(INSTALLATION, LOST) is not None

    async def accept_loss(self) -> None:
        """Treat what no resource asks for as garbage again. Raises `StoreError`."""
        if self.state_lost:
            await self._store.drop_record(INSTALLATION, LOST)
            self.state_lost = False
            self._changed()

    @property
    def complete(self) -> bool:
        """Whether what no resource here asks for is asked for by nobody, so that it may be removed."""
        return self.sources_listed and not self.state_lost

    def _load(self, stored: StoredObject) -> None:
        """Take an object from the store. Another version of dockerv6 may have accepted what this one refuses."""
        key = (stored.kind, stored.name)
        if stored.missing_since is not None:
            stored = replace(stored, missing_since=min(stored.missing_since, self.now()))
        if stored.digest:
            try:
                self._resources[key] = self._effective(stored)
            except InvalidObject as error:
                stored = as_unreadable(stored, str(error))
        self._objects[key] = stored

    def _effective(self, stored: StoredObject) -> Resource:
        """The accepted resource; `spec.suspend` is true if it was suspended on the command line."""
        resource = decode(stored.document).resource
        if isinstance(resource, NetworkResource) and self.suspended(stored.kind, stored.name):
            return resource.model_copy(update={"spec": resource.spec.model_copy(update={"suspend": True})})
        return resource

    async def refresh_suspended(self) -> list[tuple[str, str]]:
        """Take over what `dockerv6 suspend` and `resume` recorded. Returns the resources whose state changed.

        Raises:
            StoreError: the records can't be read.
        """
        await self._store.refresh()
        now = await self._read_suspended()
        changed, self._suspended = now ^ self._suspended, now
        concerned = [key for key in self._resources if "/".join(key) in changed]
        for key in concerned:
            self._resources[key] = self._effective(self._objects[key])
        if concerned:
            self._changed(resources=True)
        return concerned

    def suspended(self, kind: str, name: str) -> bool:
        """Whether a resource is suspended by the command line. Its file may suspend it as well."""
        return f"{kind}/{name}" in self._suspended

    async def _read_suspended(self) -> frozenset[str]:
        """The resources that the command line suspended. A record of an object that was removed is dropped."""
        records = await self._store.records(SUSPENDED)
        created = {f"{o.kind}/{o.name}": o.created for o in await self._store.objects()} if records else {}
        suspended = set()
        for name, record in records.items():
            if name in created and record.get("created", created[name]) == created[name]:
                suspended.add(name)
            else:
                await self._store.drop_record(SUSPENDED, name)
        return frozenset(suspended)

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read of the state file."""
        unknown = (f"the state file has {o.kind}/{o.name}, which this version does not know" for o in self.unknown)
        unreadable = (f"{o.kind}/{o.name}: {o.problem}" for o in self.objects if o.unreadable)
        return (*self._store.problems, *self._ledger.problems, *unknown, *unreadable)

    @property
    def unreadable(self) -> bool:
        """Whether there is a resource whose accepted version can't be read: what it asks for is not known."""
        return any(o.unreadable for o in self._objects.values())

    def _changed(self, *, resources: bool = False) -> None:
        self._holdings = None
        if resources:
            self._networks = self._pools = self._policies = None
        self.version += 1

    def now(self) -> float:
        """Unix seconds, to compare with the times in here.

        When the system time was set, these times are moved with it: a grace period or cooldown ends when its seconds
        have passed, whatever the clock says. A stored time in the future counts as the time at which it was read.
        """
        now = self._clock.now()
        step = now - self._clock.monotonic() - self._offset
        if abs(step) > SMALLEST_STEP:
            self._offset += step
            self._move_times(step)
        return now

    def _move_times(self, step: float) -> None:
        self._objects = {k: _moved(o, step) for k, o in self._objects.items()}
        self._allocations = {k: replace(a, since=a.since + step) for k, a in self._allocations.items()}
        self._tracked = {k: moved_in_time(t, step) for k, t in self._tracked.items()}
        self._changed()

    @property
    def objects(self) -> tuple[StoredObject, ...]:
        """Every object, ordered by kind and name."""
        return tuple(o for _, o in sorted(self._objects.items()))

    def get(self, kind: str, name: str) -> StoredObject | None:
        """One object."""
        return self._objects.get((kind, name))

    def resource(self, kind: str, name: str) -> Resource | None:
        """The accepted resource; None: there is none, or it never was valid."""
        return self._resources.get((kind, name))

    def networks(self) -> Mapping[str, NetworkResource]:
        """Accepted networks by name, including those that are being deleted."""
        if self._networks is None:
            self._networks = {n: r for (_, n), r in self._resources.items() if isinstance(r, NetworkResource)}
        return self._networks

    def pools(self) -> Mapping[str, IPv6Pool]:
        """Accepted pools by name, and the default pool, whether it is declared or not, unless it can't be read."""
        if self._pools is None:
            self._pools = {n: r for (_, n), r in self._resources.items() if isinstance(r, IPv6Pool)}
            declared = self._objects.get((POOL, DEFAULT_POOL))
            if declared is None or not declared.unreadable:  # else it may have another prefix
                self._pools.setdefault(DEFAULT_POOL, implied_default_pool())
        return self._pools

    def policies(self) -> Mapping[str, IPv6Policy]:
        """Accepted policies by name, including those that are being deleted."""
        if self._policies is None:
            self._policies = {n: r for (_, n), r in self._resources.items() if isinstance(r, IPv6Policy)}
        return self._policies

    @property
    def holdings(self) -> Holdings:
        """The allocations, pool prefixes and tracked prefixes, as planning takes them."""
        if self._holdings is None:
            self._holdings = Holdings(tuple(self._allocations.values()), dict(self._pool_prefixes), dict(self._tracked))
        return self._holdings

    async def write(self, objects: tuple[StoredObject, ...]) -> tuple[StoredObject, ...]:
        """Store objects, and return them as written. Raises `StoreConflict`, `StoreError`."""
        if not objects:
            return ()
        async with self._writing:
            written = await self._store.put(*objects)
            for o in written:
                key = (o.kind, o.name)
                known = self._objects.get(key)
                self._objects[key] = replace(o, status=known.status) if known else o
                if o.digest and (known is None or not known.digest or known.document != o.document):
                    self._resources[key] = self._effective(o)
            self._changed(resources=True)
        return written

    def deduplicate(self, resources: Iterable[Resource]) -> None:
        """Save memory: use the sources' copies of resources that equal the accepted ones."""
        for resource in resources:
            key = (str(resource.kind), resource.metadata.name)
            known = self._resources.get(key)
            if known is not resource and known == resource:
                self._resources[key] = resource
                self._networks = self._pools = self._policies = None

    def publishes_ports(self) -> bool:
        """Whether a resource asks for ports in ``publish.ports``."""
        networks, policies = self.networks().values(), self.policies().values()
        return any(n.spec.publish.ports for n in networks) or any(p.spec.publish.ports for p in policies)

    async def write_status(self, kind: str, name: str, status: Mapping[str, object]) -> None:
        """Store an object's status, if it differs."""
        known = self._objects.get((kind, name))
        if known is None or known.status == status:
            return
        await self._store.put_status(kind, name, status)
        now = self._objects.get((kind, name))  # a new version may have been accepted meanwhile
        if now is not None:
            self._objects[(kind, name)] = replace(now, status=status)

    async def remove_tombstone(self, kind: str, name: str) -> bool:
        """Remove a tombstone whose finalizer is done; False: its resource is back in its source."""
        async with self._writing:
            known = self._objects.get((kind, name))
            if known is None or known.deleting_since is None:
                return False
            await self._store.remove(kind, name)
            self._suspended -= {f"{kind}/{name}"}
            self._objects.pop((kind, name), None)
            self._resources.pop((kind, name), None)
            self._changed(resources=True)
        return True

    async def drop_unknown(self, stored: StoredObject) -> None:
        """Remove one of `unknown`. Raises `StoreError`."""
        await self._store.remove(stored.kind, stored.name)
        self.unknown = tuple(o for o in self.unknown if o is not stored)

    async def bind(self, owner: str, pool: str, prefix: IPv6Network, now: float, revision: int | None) -> None:
        """Allocate a subnet to the owner. Raises `LedgerConflict`, `SubnetTaken`."""
        async with self._rereading():
            bound = await self._ledger.bind(owner, pool, prefix, now, revision=revision)
        if revision is not None:  # the previous subnet's cooldown began
            await self._reload_allocations()
        self._allocations[(owner, prefix)] = bound
        self._changed()

    async def release(self, allocation: Allocation, now: float) -> None:
        """Start an allocation's cooldown. Raises `LedgerConflict`."""
        async with self._rereading():
            await self._ledger.release(allocation, now)
        await self._reload_allocations()

    async def forget(self, allocation: Allocation) -> None:
        """Drop an allocation whose cooldown is over. Raises `LedgerConflict`."""
        async with self._rereading():
            await self._ledger.forget(allocation)
        self._allocations.pop((allocation.owner, allocation.prefix), None)
        self._changed()

    async def keep_pool_prefix(self, pool: str, prefix: IPv6Network) -> IPv6Network:
        """Store a pool's generated prefix; returns the one that is stored, which may be an earlier one."""
        kept = await self._ledger.keep_pool_prefix(pool, prefix)
        self._pool_prefixes[pool] = kept.prefix
        self._changed()
        return kept.prefix

    async def record_request(self, name: str) -> None:
        """Record that the creation of a Docker network is requested. Raises `StoreError`."""
        self.unconfirmed_networks[name] = self.now()
        await self._store.put_record(UNCONFIRMED, name, {})

    async def forget_request(self, name: str) -> None:
        """Drop that record: the network is known as created, or does not exist. Raises `StoreError`."""
        if self.unconfirmed_networks.pop(name, None) is not None:
            await self._store.drop_record(UNCONFIRMED, name)

    async def record_created(self, network_id: str, name: str) -> None:
        """Record that this installation created a Docker network. Raises `StoreError`."""
        if network_id not in self.created_networks:
            await self._store.put_record(CREATED, network_id, {"name": name})
            self.created_networks |= {network_id}
        await self.forget_request(name)

    async def forget_created(self, network_id: str) -> None:
        """Drop the record of a Docker network that is gone. Raises `StoreError`."""
        await self._store.drop_record(CREATED, network_id)
        self.created_networks -= {network_id}

    async def track_prefix(self, tracked: TrackedPrefix) -> None:
        """Store an interface's tracked prefix. Raises `StoreError`."""
        await self._store.put_record(TRACKED_PREFIXES, tracked.interface, _TRACKED_PREFIX.encode(tracked))
        self._tracked[tracked.interface] = tracked
        self._changed()

    async def untrack_prefix(self, interface: str) -> None:
        """Drop an interface's tracked prefix: no resource follows it. Raises `StoreError`."""
        await self._store.drop_record(TRACKED_PREFIXES, interface)
        self._tracked.pop(interface, None)
        self._changed()

    @asynccontextmanager
    async def _rereading(self) -> AsyncIterator[None]:
        """Read the allocations again after a conflict, so that the next plan sees the ledger's."""
        try:
            yield
        except (LedgerConflict, SubnetTaken):
            await self._reload_allocations()
            raise

    async def _reload_allocations(self) -> None:
        """Read the allocations, whose revisions have changed."""
        now, before = self.now(), self._allocations
        self._allocations = {}
        for found in await self._ledger.allocations():
            key = (found.owner, found.prefix)
            known = before.get(key)
            since = known.since if known is not None and known.revision == found.revision else min(found.since, now)
            self._allocations[key] = replace(found, since=since)
        self._changed()


def _moved(stored: StoredObject, step: float) -> StoredObject:
    since = stored.missing_since
    return stored if since is None else replace(stored, missing_since=since + step)
