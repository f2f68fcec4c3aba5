"""Finds by polling what neither the kernel nor the engine announces."""

import logging

from dockerv6.api.conditions import Reason
from dockerv6.controller import host
from dockerv6.controller.context import Context
from dockerv6.controller.triggers import Triggers
from dockerv6.firewall.port import FirewallError
from dockerv6.planning.firewall.contributions import resource_of
from dockerv6.reconciler.handler import Key

logger = logging.getLogger(__name__)

# Seconds:
FOREIGN_RULES_INTERVAL = 60.0  # between searches for other programs that do our work
SOCKET_POLL = 2.0  # between readings of the host's sockets while ports are published
LEGACY_POLL = 1.0  # between readings of the rules of iptables-legacy
LEGACY_SEARCH = 30.0  # between searches for such rules, while there are none
CHAINS_POLL = 2.0  # between readings of the engine's chains


class Polling:
    """The polls; each function runs for ever."""

    def __init__(self, context: Context, triggers: Triggers) -> None:
        """Start what changed by these triggers."""
        self._context = context
        self._triggers = triggers

    async def legacy_rules(self) -> None:
        """Find changes of the rules of iptables-legacy."""
        known = await self._context.firewall.poll_revision()
        while True:
            await self._context.clock.sleep(LEGACY_POLL if known is not None else LEGACY_SEARCH)
            found = await self._context.firewall.poll_revision()
            if found != known:
                self._context.firewall.invalidate()
                self._context.firewall.invalidate_filter()
                self._triggers.repair_firewall_soon()
                known = found

    async def host_sockets(self) -> None:
        """Find processes of the host that start or stop listening on a port."""
        sockets = self._context.world.sockets
        while True:
            await self._context.clock.sleep(SOCKET_POLL)
            if self._context.firewall.publishes:
                before = sockets.known
                sockets.invalidate_listeners()
                await sockets.refresh()
                if sockets.known is not before:
                    self._triggers.repair_firewall_soon()

    async def container_sockets(self) -> None:
        """Find containers whose published ports lead to processes that listen over IPv4 only."""
        while True:
            await self._context.clock.sleep(SOCKET_POLL)
            for owner in sorted(await self._context.listening.refresh()):
                self._context.enqueue(Key(*resource_of(owner)), "a container listens on other ports")

    async def engine_chains(self) -> None:
        """Find out whether another program removed the engine's chains; statuses, `doctor` and `/readyz` report it."""
        chains = self._context.engine_chains
        known: str | None = None  # what an earlier process reported is unknown here, and ends with the first report
        while True:
            await self._context.clock.sleep(CHAINS_POLL)
            await chains.check()
            if chains.problem != known:
                known = chains.problem
                messages = [known] if known else []
                await self._context.problems.report("engine-chains", Reason.ENGINE_CHAINS_MISSING, messages)
                self._triggers.enqueue_everything("the engine's chains went or came back")

    async def foreign_rules(self) -> None:
        """Find out whether another program does our work; statuses and an event report it."""
        firewall = self._context.firewall
        while True:
            try:
                message: str | None = await self._context.detect_foreign_rules()
            except FirewallError as error:
                logger.warning("cannot tell whether docker-ipv6nat is running: %s", error)
                message = firewall.rival
            before, firewall.rival = firewall.rival or "", message
            if (message or "") != before:
                if message:
                    await self._context.events.warning(host.HOST, host.FIREWALL.name, "ForeignRules", message)
                self._triggers.enqueue_everything("another program's rules came or went")
            await self._context.clock.sleep(FOREIGN_RULES_INTERVAL)
