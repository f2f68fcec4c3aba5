"""The last intent of each resource's rules, in the state file: the table is repaired from it before the engine answers.

Rules that somebody deletes while no operator runs are lost: the kernel does not have them, and the networks and
containers that they are computed from are known to the engine only, which may hang. Each owner has its own record, so
that a damaged one concerns that owner only, and a change writes only what changed.
"""

import asyncio
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from dockerv6.controller.records import RecordCodec
from dockerv6.firewall.model import Claim, NetworkIntent, PortIntent
from dockerv6.firewall.overlaps import claims_of
from dockerv6.lib.clock import Clock
from dockerv6.lib.networking import interface_name
from dockerv6.planning.firewall.desired import DesiredFirewall
from dockerv6.store.port import Store, StoreError

logger = logging.getLogger(__name__)

INTENTS = "firewall"
"""Store scope: the recorded intent of each owner."""

RECORD_LIMIT = 1 << 20
"""Bytes of JSON. A network takes about 400, a port about 200."""

WRITE_INTERVAL = 1.0
"""Seconds between two rounds of writes, so that a burst of changes is written once."""

WRITE_RETRY = 30.0
"""Seconds until a round is tried again that the store refused."""


@dataclass(frozen=True, slots=True)
class RecordedIntent:
    """What the rules do for one owner.

    Attributes:
        boot: the kernel's boot id. After a reboot no container runs that the ports lead to, and the record is ignored.
        networks: its networks.
        ports: its published ports.
    """

    boot: str
    networks: tuple[NetworkIntent, ...] = ()
    ports: tuple[PortIntent, ...] = ()

    def __post_init__(self) -> None:
        for network in self.networks:
            if None in map(interface_name, (network.bridge, *network.egress_interfaces)):
                raise ValueError("no interface can have such a name")  # the record is damaged


def _granted(networks: Iterable[NetworkIntent], granted: frozenset[Claim]) -> Iterator[NetworkIntent]:
    """The networks that have rules, with the external prefixes that do: at the next start, nobody takes them."""
    for network in networks:
        if (network.owner, network.subnet) in granted:
            external = tuple(each for each in network.external_prefixes if (network.owner, each) in granted)
            yield network if external == network.external_prefixes else replace(network, external_prefixes=external)


_CODEC: Final = RecordCodec(RecordedIntent)


class RecordedIntents:
    """The records as they are in the state file, and what is to be written."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Know none before `load`."""
        self._store = store
        self._clock = clock
        self._boot = ""
        self._stored: dict[str, RecordedIntent | None] = {}  # None: a damaged record
        self._desired: DesiredFirewall | None = None  # as was put in place last
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()

    async def load(self, boot: str) -> None:
        """Read the records of this boot of the kernel. Raises `StoreError`."""
        self._boot = boot
        for owner, record in (await self._store.records(INTENTS)).items():
            found = self._stored[owner] = _CODEC.decode(record)
            if found is None:
                logger.warning(
                    "the recorded rules of %s are damaged: they are ignored, and recorded again when the Docker Engine"
                    " has answered",
                    owner,
                )

    def get(self, owner: str) -> RecordedIntent | None:
        """The last intent of an owner; None: there is none of this boot."""
        found = self._stored.get(owner)
        return found if found is not None and found.boot == self._boot else None

    @property
    def bridges(self) -> frozenset[str]:
        """The bridges that the records name."""
        return frozenset(n.bridge for record in self._stored.values() if record is not None for n in record.networks)

    @property
    def claims(self) -> frozenset[Claim]:
        """The claims that had rules, also before a reboot: a prefix stays with its resource."""
        return frozenset(
            claim for record in self._stored.values() if record is not None for claim in claims_of(record.networks)
        )

    def keep(self, desired: DesiredFirewall) -> None:
        """Have the intents recorded that are in place now. Returns at once."""
        if desired is not self._desired:
            self._desired = desired
            self._changed.set()

    async def write(self) -> None:
        """Write what changes, for ever. A store that refuses is tried again; repairs do not wait for it."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.flush()
            except StoreError as error:
                logger.warning("the rules could not be recorded for the next start: %s", error)
                self._changed.set()
                await self._clock.sleep(WRITE_RETRY)
            else:
                await self._clock.sleep(WRITE_INTERVAL)

    async def flush(self) -> None:
        """Write the records that differ. Raises `StoreError`."""
        async with self._writing:
            desired = self._desired
            if desired is None:
                return
            granted = frozenset(claims_of(desired.separated.networks))
            for contribution in desired.contributions:
                owner = contribution.owner
                networks = tuple(_granted(contribution.networks, granted))
                intent = RecordedIntent(self._boot, networks, desired.ports.get(owner, ()))
                if not contribution.keep and intent != self._stored.get(owner):
                    await self._put(owner, intent)
            for owner in self._stored.keys() - {each.owner for each in desired.contributions}:
                await self._drop(owner)

    async def _put(self, owner: str, intent: RecordedIntent) -> None:
        record = _CODEC.encode(intent)
        size = len(json.dumps(record))
        if size > RECORD_LIMIT:
            logger.warning("the rules of %s are not recorded: %d bytes, of at most %d", owner, size, RECORD_LIMIT)
            await self._store.drop_record(INTENTS, owner)
        else:
            await self._store.put_record(INTENTS, owner, record)
        self._stored[owner] = intent

    async def _drop(self, owner: str) -> None:
        await self._store.drop_record(INTENTS, owner)
        del self._stored[owner]
