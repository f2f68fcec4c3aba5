"""Notices that another program removed the engine's chains, after which it can create no network and publish no port.

The engine's API does not tell whether it uses iptables (`docker info` of 28.5 says so with ``"iptables": false`` too).
So the tables in which an engine has its chains are recorded, and only what was there can be missing. Another engine
process starts a new record: it has its chains before it answers. Chains that docker-ipv6nat may have made don't count.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from dockerv6.controller.world import World
from dockerv6.dockerd.refusals import RESTART_ENGINE
from dockerv6.firewall.port import FirewallError
from dockerv6.hostnet.port import HostNetError
from dockerv6.lib.clock import Clock
from dockerv6.store.port import Store, StoreError

logger = logging.getLogger(__name__)

ENGINE_CHAINS = "engine-chains"
"""Store scope: one record with the tables that have the engine's chains."""

SEEN = "seen"
GRACE = 3.0
"""Seconds until missing chains are reported: after a reload of firewalld, the engine creates them again by itself."""

FRESH = 0.5
"""Seconds for which a reading is used: a resync of many resources would read each time."""

BOOT_ID = "kernel.random.boot_id"
DEFAULT_BRIDGE = "bridge"
"""An engine creates this network again whenever it starts, with another id, unless it restores running containers."""

ReadChains = Callable[[], Awaitable[frozenset[str]]]


def no_rival() -> str | None:
    """As if docker-ipv6nat were not there."""
    return ""


class EngineChains:
    """The engine's chains, compared with those that this engine process has had."""

    def __init__(
        self,
        read: ReadChains,
        store: Store,
        world: World,
        clock: Clock,
        grace: float = GRACE,
        rival: Callable[[], str | None] = no_rival,
    ) -> None:
        """Read nothing yet.

        Args:
            read: the tables that have the engine's chains now. May raise `FirewallError`.
            store: keeps the record.
            world: the engine and the host.
            clock: times the grace period.
            grace: seconds until missing chains are reported.
            rival: the message about docker-ipv6nat, which makes chains with the engine's names; "": it is not there;
                None: it was not searched yet, so no further IPv6 chains are taken for the engine's.
        """
        self._read = read
        self._store = store
        self._world = world
        self._clock = clock
        self._grace = grace
        self._rival = rival
        self._connected = False
        self._restarted = False
        self._seen: frozenset[str] = frozenset()
        self._boot = ""
        self._process = ""  # of the engine that `_seen` is about
        self._missing: frozenset[str] = frozenset()
        self._since = 0.0  # monotonic
        self._read_at: float | None = None  # monotonic

    async def load(self) -> None:
        """Read the record of an earlier operator. Raises `StoreError`."""
        record = await self._store.record(ENGINE_CHAINS, SEEN) or {}
        tables = record.get("tables")
        self._seen = frozenset(map(str, tables)) if isinstance(tables, list) else frozenset()
        self._process = str(record.get("process", ""))

    @property
    def missing(self) -> str:
        """What is missing, with the remedy, at once; "": nothing."""
        if not self._missing:
            return ""
        return (
            f"the engine's chains are gone ({', '.join(sorted(self._missing))}): another program flushed the packet"
            " filter; the engine can make no network and publish no port until it is restarted: run"
            f" `{RESTART_ENGINE}`"
        )

    @property
    def problem(self) -> str:
        """As `missing`, once the grace period is over."""
        return self.missing if self._clock.monotonic() - self._since >= self._grace else ""

    def engine_connected(self) -> None:
        """Begin a new record if the events had broken off: with live-restore, nothing else indicates a restart."""
        self._restarted, self._connected = self._connected, True

    async def check(self, fresh: float = FRESH) -> None:
        """Read the chains. While the engine does not answer, nothing is missing: it may be about to create them.

        Args:
            fresh: the age in seconds up to which the last reading is used.
        """
        now = self._clock.monotonic()
        if self._read_at is not None and now - self._read_at < fresh:
            return
        self._read_at = now
        process = await self._engine_process()
        if not process:
            self._missing = frozenset()
            return
        try:
            present = await self._read()
        except FirewallError as error:
            logger.debug("the engine's chains can't be read: %s", error)
            return
        known = self._seen if process == self._process and not self._restarted else frozenset[str]()
        self._restarted = False
        rival = self._rival()
        seen = (known if not rival else _without_ipv6(known)) | (present if rival == "" else _without_ipv6(present))
        if (process, seen) != (self._process, self._seen):
            self._process, self._seen = process, seen
            await self._keep()
        missing = seen - present
        if missing and not self._missing:
            self._since = now
        self._missing = missing

    async def _engine_process(self) -> str:
        """What identifies the engine's process; "": it does not answer."""
        info, _ = await self._world.engine_state()
        if info is None:
            return ""
        if not self._boot:
            with suppress(HostNetError):
                self._boot = await self._world.host.sysctl(BOOT_ID) or ""
        bridge = next((each.id for each in self._world.known_networks.named(DEFAULT_BRIDGE)), "none")
        return f"{self._boot} {bridge}"

    async def _keep(self) -> None:
        record = {"process": self._process, "tables": sorted(self._seen)}
        try:
            await self._store.put_record(ENGINE_CHAINS, SEEN, record)
        except StoreError as error:
            logger.warning("the engine's chains could not be recorded: %s", error)


def _without_ipv6(tables: frozenset[str]) -> frozenset[str]:
    return frozenset(each for each in tables if not each.startswith("ip6 "))
