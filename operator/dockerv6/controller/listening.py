"""Which published ports lead to a process that listens over IPv4 only. The kernel announces no sockets."""

import logging

from dockerv6.controller.firewall import FirewallReconciler
from dockerv6.controller.world import World
from dockerv6.hostnet.port import HostNetError
from dockerv6.lib.clock import Clock
from dockerv6.planning.firewall.listening import Service, ipv4_only_services, published_services

logger = logging.getLogger(__name__)

# Seconds:
SETTLING = 30.0  # after containers changed: their processes begin to listen one by one
IDLE_INTERVAL = 30.0  # between readings otherwise: a table of thousands of connections takes milliseconds


class ListeningServices:
    """The sockets of containers with published ports, as last read."""

    def __init__(self, world: World, firewall: FirewallReconciler, clock: Clock) -> None:
        """Read nothing yet."""
        self._world = world
        self._firewall = firewall
        self._clock = clock
        self._seen: object = None  # what the last reading was for
        self._settled_at = 0.0  # monotonic
        self._read_at = 0.0  # monotonic
        self.ipv4_only: frozenset[Service] = frozenset()
        """Services that connections over IPv6 do not reach."""

    async def refresh(self) -> frozenset[str]:
        """Read the sockets if it is time; return the owners of the ports for which something changed."""
        now, ports = self._clock.monotonic(), self._firewall.published
        seen = (ports, self._world.known_containers)
        if seen != self._seen:
            self._seen, self._settled_at = seen, now + SETTLING
        if now > self._settled_at and now - self._read_at < IDLE_INTERVAL:
            return frozenset()
        self._read_at = now
        services = published_services(ports, self._world.known_containers)
        try:
            sockets = await self._world.host.container_sockets({each.container for each in services})
        except HostNetError as error:
            logger.debug("the sockets of containers can't be read: %s", error)
            return frozenset()
        before, self.ipv4_only = self.ipv4_only, ipv4_only_services(services, sockets)
        changed = before ^ self.ipv4_only
        return frozenset(owner for service, owners in services.items() if service in changed for owner in owners)
