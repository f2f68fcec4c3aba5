"""The host port on Linux, with procfs and netlink."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from typing import TypeVar

from dockerv6.hostnet import addresses, conntrack, links, neighbours, prefixes, routes, sockets, sysctl
from dockerv6.hostnet.changes import ChangeFeed
from dockerv6.hostnet.model import (
    ContainerSockets,
    HostChange,
    HostPrefix,
    Interface,
    Listener,
    ProxyNeighbour,
    Route,
    RoutingRule,
)
from dockerv6.hostnet.port import HostNetError, HostNetPermissionError
from dockerv6.hostnet.sockets import ContainerProcesses

T = TypeVar("T")


class LinuxHostNet:
    """Implements `port.HostNet`.

    Blocking calls run on a thread of its own: on the shared threads of the event loop they would wait for slow calls to
    the engine. The first call starts the thread, in the network namespace of the calling thread.
    """

    def __init__(self) -> None:
        """Open nothing yet."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hostnet")
        self._routes = routes.RouteReader()
        self._feeds: set[ChangeFeed] = set()
        self._containers = ContainerProcesses()
        self._sockets = ThreadPoolExecutor(max_workers=1, thread_name_prefix="container-sockets")  # it may take long

    async def sysctl(self, name: str) -> str | None:
        """See `port.HostNet.sysctl`."""
        return await self._run(partial(sysctl.read, name))

    async def set_sysctl(self, name: str, value: str) -> None:
        """See `port.HostNet.set_sysctl`."""
        await self._run(partial(sysctl.write, name, value))

    async def interfaces(self) -> tuple[Interface, ...]:
        """See `port.HostNet.interfaces`."""
        return await self._request("list interfaces", links.interfaces)

    async def routes(self) -> tuple[Route, ...]:
        """See `port.HostNet.routes`."""
        return await self._request("list routes", self._routes.read)

    async def rules(self) -> tuple[RoutingRule, ...]:
        """See `port.HostNet.rules`."""
        return await self._request("list routing rules", routes.rules)

    async def prefixes(self) -> tuple[HostPrefix, ...]:
        """See `port.HostNet.prefixes`."""
        return await self._request("list prefixes", prefixes.prefixes)

    async def proxy_neighbours(self) -> frozenset[ProxyNeighbour]:
        """See `port.HostNet.proxy_neighbours`."""
        return await self._request("list NDP proxy entries", neighbours.proxy_neighbours)

    async def add_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """See `port.HostNet.add_proxy_neighbour`."""
        what = f"add an NDP proxy entry for {address} to {interface}"
        await self._request(what, partial(neighbours.add_proxy_neighbour, interface, address))

    async def remove_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """See `port.HostNet.remove_proxy_neighbour`."""
        what = f"remove the NDP proxy entry for {address} from {interface}"
        await self._request(what, partial(neighbours.remove_proxy_neighbour, interface, address))

    async def set_link_up(self, interface: str) -> None:
        """See `port.HostNet.set_link_up`."""
        await self._request(f"set {interface} up", partial(links.set_link_up, interface))

    async def add_address(self, interface: str, address: IPv6Interface) -> None:
        """See `port.HostNet.add_address`."""
        call = partial(addresses.add_address, interface, address)
        await self._request(f"add address {address} to {interface}", call)

    async def set_hairpin(self, port: str, *, on: bool) -> None:
        """See `port.HostNet.set_hairpin`."""
        await self._request(f"set the hairpin mode of {port}", partial(links.set_hairpin, port, on=on))

    async def set_bridge_netfilter(self, bridge: str, *, on: bool) -> None:
        """See `port.HostNet.set_bridge_netfilter`."""
        call = partial(links.set_bridge_netfilter, bridge, on=on)
        await self._request(f"set nf_call_ip6tables of {bridge}", call)

    async def listeners(self) -> frozenset[Listener]:
        """See `port.HostNet.listeners`."""
        return await self._request("list sockets", sockets.listeners)

    async def container_sockets(self, containers: Collection[str]) -> Mapping[str, ContainerSockets]:
        """See `port.HostNet.container_sockets`."""
        call = partial(self._containers.sockets, containers)
        return await asyncio.get_running_loop().run_in_executor(self._sockets, call)

    async def served_tcp_ports(self) -> frozenset[int]:
        """See `port.HostNet.served_tcp_ports`."""
        return await self._request("list connections", sockets.served_tcp_ports)

    async def delete_udp_flows(self, ports: Collection[int], destinations: Collection[IPv6Address]) -> int:
        """See `port.HostNet.delete_udp_flows`."""
        return await self._request("delete conntrack entries", partial(conntrack.delete_udp_flows, ports, destinations))

    async def delete_translated_flows(self, prefixes: Collection[IPv6Network]) -> int:
        """See `port.HostNet.delete_translated_flows`."""
        return await self._request("delete conntrack entries", partial(conntrack.delete_translated_flows, prefixes))

    async def changes(self) -> AsyncIterator[HostChange]:
        """See `port.HostNet.changes`."""
        try:
            feed = ChangeFeed()
        except OSError as error:
            raise _host_net_error(error, "subscribe to changes") from error
        self._feeds.add(feed)
        try:
            while (change := await feed.take()) is not None:
                yield change
        except OSError as error:
            raise _host_net_error(error, "read changes") from error
        finally:
            self._feeds.discard(feed)
            feed.close()

    async def close(self) -> None:
        """See `port.HostNet.close`. A running call is not awaited."""
        for feed in tuple(self._feeds):
            feed.close()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._sockets.shutdown(wait=False, cancel_futures=True)

    async def _request(self, what: str, call: Callable[[], T]) -> T:
        try:
            return await self._run(call)
        except OSError as error:
            raise _host_net_error(error, what) from error

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _host_net_error(error: OSError, what: str) -> HostNetError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EPERM, errno.EACCES):
        return HostNetPermissionError(f"cannot {what}: {reason}; {sysctl.remedy(error.errno, os.geteuid())}")
    return HostNetError(f"cannot {what}: {reason}")
