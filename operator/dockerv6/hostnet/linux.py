"""The host port on Linux: procfs and netlink of the network namespace that the process runs in."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from typing import TypeVar

from dockerv6.hostnet import conntrack, links, neighbours, prefixes, rtnetlink, sockdiag, sysctl
from dockerv6.hostnet.changes import ChangeFeed
from dockerv6.hostnet.model import HostChange, HostPrefix, Interface, Listener, ProxyNeighbour, Route
from dockerv6.hostnet.port import HostNetError, HostNetPermissionError

T = TypeVar("T")


class LinuxHostNet:
    """Implements `port.HostNet`.

    Blocking calls run on one thread of its own: on the event loop's shared ones they would queue up behind slow calls
    to the engine. The thread is started by the first call and is in the namespace of the thread that made this call.
    """

    def __init__(self) -> None:
        """Open nothing yet."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hostnet")
        self._feeds: set[ChangeFeed] = set()

    async def sysctl(self, name: str) -> str | None:
        """See `port.HostNet.sysctl`."""
        return await self._run(partial(sysctl.read, name))

    async def set_sysctl(self, name: str, value: str) -> None:
        """See `port.HostNet.set_sysctl`."""
        await self._run(partial(sysctl.write, name, value))

    async def interfaces(self) -> tuple[Interface, ...]:
        """See `port.HostNet.interfaces`."""
        return await self._ask("list interfaces", rtnetlink.interfaces)

    async def routes(self) -> tuple[Route, ...]:
        """See `port.HostNet.routes`."""
        return await self._ask("list routes", rtnetlink.routes)

    async def prefixes(self) -> tuple[HostPrefix, ...]:
        """See `port.HostNet.prefixes`."""
        return await self._ask("list prefixes", prefixes.prefixes)

    async def proxy_neighbours(self) -> frozenset[ProxyNeighbour]:
        """See `port.HostNet.proxy_neighbours`."""
        return await self._ask("list proxy neighbours", neighbours.proxy_neighbours)

    async def add_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """See `port.HostNet.add_proxy_neighbour`."""
        what = f"answer for {address} on {interface}"
        await self._ask(what, partial(neighbours.add_proxy_neighbour, interface, address))

    async def remove_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """See `port.HostNet.remove_proxy_neighbour`."""
        what = f"answer no more for {address} on {interface}"
        await self._ask(what, partial(neighbours.remove_proxy_neighbour, interface, address))

    async def set_link_up(self, interface: str) -> None:
        """See `port.HostNet.set_link_up`."""
        await self._ask(f"set {interface} up", partial(links.set_link_up, interface))

    async def add_address(self, interface: str, address: IPv6Interface) -> None:
        """See `port.HostNet.add_address`."""
        await self._ask(f"give {interface} the address {address}", partial(links.add_address, interface, address))

    async def set_hairpin(self, port: str, *, on: bool) -> None:
        """See `port.HostNet.set_hairpin`."""
        await self._ask(f"set hairpin mode of {port}", partial(links.set_hairpin, port, on=on))

    async def set_bridge_netfilter(self, bridge: str, *, on: bool) -> None:
        """See `port.HostNet.set_bridge_netfilter`."""
        call = partial(links.set_bridge_netfilter, bridge, on=on)
        await self._ask(f"set nf_call_ip6tables of {bridge}", call)

    async def listeners(self) -> frozenset[Listener]:
        """See `port.HostNet.listeners`."""
        return await self._ask("list sockets", sockdiag.listeners)

    async def delete_udp_flows(self, ports: Collection[int], destinations: Collection[IPv6Address]) -> int:
        """See `port.HostNet.delete_udp_flows`."""
        return await self._ask("drop conntrack entries", partial(conntrack.delete_udp_flows, ports, destinations))

    async def delete_translated_flows(self, prefixes: Collection[IPv6Network]) -> int:
        """See `port.HostNet.delete_translated_flows`."""
        return await self._ask("drop conntrack entries", partial(conntrack.delete_translated_flows, prefixes))

    async def changes(self) -> AsyncIterator[HostChange]:
        """See `port.HostNet.changes`."""
        try:
            feed = ChangeFeed()
        except OSError as error:
            raise _translated(error, "subscribe to changes") from error
        self._feeds.add(feed)
        try:
            while (change := await feed.take()) is not None:
                yield change
        except OSError as error:
            raise _translated(error, "read changes") from error
        finally:
            self._feeds.discard(feed)
            feed.close()

    async def close(self) -> None:
        """See `port.HostNet.close`; a call under way is waited for by nobody."""
        for feed in tuple(self._feeds):
            feed.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, what: str, question: Callable[[], T]) -> T:
        try:
            return await self._run(question)
        except OSError as error:
            raise _translated(error, what) from error

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _translated(error: OSError, what: str) -> HostNetError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EPERM, errno.EACCES):
        return HostNetPermissionError(f"can't {what}: {reason}; {sysctl.remedy(error.errno, os.geteuid())}")
    return HostNetError(f"can't {what}: {reason}")
