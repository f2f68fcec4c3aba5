"""The port to the host's network stack, except for packet filtering.

Errors::

    HostNetError
    └── HostNetPermissionError   refused (EPERM, EACCES, EROFS): not root, a missing capability, a read-only /proc/sys
"""

from collections.abc import AsyncIterator, Collection, Mapping
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from typing import Protocol

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


class HostNetError(Exception):
    """The kernel refused a request. The message names the request and the kernel's error."""


class HostNetPermissionError(HostNetError):
    """The process lacks the permission. The message names the missing privilege or mount."""


class HostNet(Protocol):
    """The network namespace that the operator runs in.

    Methods that change something raise `HostNetPermissionError`, or `HostNetError` for any other refusal. Requesting
    a state that exists already is not an error.
    """

    async def sysctl(self, name: str) -> str | None:
        """The value of a sysctl; None if the kernel has no such key.

        Names are written as for sysctl(8): the first dot or slash in a name decides which of the two is the separator,
        and the other one is an ordinary character. A VLAN interface `eth0.100` is thus `net/ipv6/conf/eth0.100/...`
        or `net.ipv6.conf.eth0/100....`; `model.interface_sysctl` makes such names.

        Raises:
            ValueError: not the name of a sysctl.
            HostNetPermissionError: not readable (some sysctls are write-only, some for root only).
            HostNetError: any other refusal.
        """

    async def set_sysctl(self, name: str, value: str) -> None:
        """Write a sysctl.

        Raises:
            ValueError: not the name of a sysctl.
            HostNetPermissionError: not permitted.
            HostNetError: no such key, or a value that the kernel refuses.
        """

    async def interfaces(self) -> tuple[Interface, ...]:
        """All interfaces, by index."""

    async def routes(self) -> tuple[Route, ...]:
        """All unicast and rejecting IPv6 routes, except those in table local and those to link-local destinations.

        The rejecting ones that the kernel makes itself, such as for a missing default route, are left out.
        """

    async def rules(self) -> tuple[RoutingRule, ...]:
        """The IPv6 routing policy rules that choose a table, by priority. Their changes are ROUTE changes."""

    async def prefixes(self) -> tuple[HostPrefix, ...]:
        """The host's prefixes: of its addresses, its on-link routes and its delegations, by interface and prefix.

        Unique local prefixes are included. Link-local, multicast and loopback prefixes, default routes, routes to a
        single address, expired routes and delegations longer than /64 are not.

        The kernel does not report whether the prefix of an on-link route is still preferred; its addresses show it.
        Such a route may outlive an address that was removed before its lifetime ended. The kernel (Linux 6.18) keeps
        no lifetime for delegations.
        """

    async def proxy_neighbours(self) -> frozenset[ProxyNeighbour]:
        """The NDP proxy entries of all interfaces, of all programs."""

    async def add_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """Answer neighbour solicitations for the address on the interface. The entry is marked as ours.

        An entry that exists already is left as it is, also if it is not ours.

        The kernel answers only while the interface's ``proxy_ndp`` is 1 and forwarding is on (ndisc_recv_ns in
        net/ipv6/ndisc.c); the first answers may take 0.8 s (the neigh sysctl ``proxy_delay``). It drops all entries of
        an interface that goes down, and older kernels also when it loses its carrier; both are LINK changes.
        """

    async def remove_proxy_neighbour(self, interface: str, address: IPv6Address) -> None:
        """Remove an NDP proxy entry, no matter which program added it. A missing entry or interface is not an error."""

    async def set_link_up(self, interface: str) -> None:
        """Set the interface administratively up."""

    async def add_address(self, interface: str, address: IPv6Interface) -> None:
        """Add an address that is usable at once, without duplicate address detection.

        An existing address that is tentative or has failed the detection becomes usable.
        """

    async def set_hairpin(self, port: str, *, on: bool) -> None:
        """Let a bridge port send frames back out of the port that they came from (IFLA_BRPORT_MODE).

        Raises `HostNetError` if the interface is not a bridge port or does not exist.
        """

    async def set_bridge_netfilter(self, bridge: str, *, on: bool) -> None:
        """Pass frames that are bridged within this bridge to ip6tables and nftables (IFLA_BR_NF_CALL_IP6TABLES).

        It has no effect while the kernel module br_netfilter is not loaded.
        """

    async def listeners(self) -> frozenset[Listener]:
        """Sockets that wait for IPv6: listening TCP sockets, unconnected UDP sockets, SCTP endpoints.

        Dual-stack sockets are included; sockets for IPv4 only and for IPv4-mapped addresses are not.
        """

    async def container_sockets(self, containers: Collection[str]) -> Mapping[str, ContainerSockets]:
        """On which ports the processes of containers wait, by the containers' ids.

        Containers whose processes can't be seen are left out: those of other PID namespaces.
        """

    async def served_tcp_ports(self) -> frozenset[int]:
        """Local TCP ports on which processes of the host have connections that clients opened, over IPv4 or IPv6.

        The sessions of a service outlive its listening socket, such as those of an SSH server that restarts. The kernel
        does not store which side opened a connection, so ports in ``ip_local_port_range``, which it gives to outgoing
        connections, are not included.
        """

    async def delete_udp_flows(self, ports: Collection[int], destinations: Collection[IPv6Address]) -> int:
        """Delete the conntrack entries of IPv6 UDP flows that started towards one of the ports at one of the addresses.

        Ports and addresses are those of the original direction, before any translation. Flows to the same ports of
        other addresses are kept.

        A UDP flow that continues keeps the translation that it started with, whatever the current rules are; other
        protocols end by themselves.

        Returns:
            The number of deleted entries; 0 on a kernel without conntrack.
        """

    async def delete_translated_flows(self, prefixes: Collection[IPv6Network]) -> int:
        """Delete the conntrack entries of IPv6 flows whose translated address is in one of the prefixes.

        That is the new source of SNAT, or the original destination of DNAT. A flow keeps the translation that it
        started with, also when the prefix is no longer routed to this host. The next packet of a deleted flow is
        translated by the current rules.

        Returns:
            The number of deleted entries; 0 on a kernel without conntrack.
        """

    def changes(self) -> AsyncIterator[HostChange]:
        """Changes (rtnetlink and nfnetlink notifications) from the first step of the iteration until `close`.

        The first change is of kind LOST; another LOST follows every overflow of a socket. Equal changes that were not
        consumed yet are merged. The process's own changes are reported too.

        Raises:
            HostNetPermissionError: nf_tables notifications need CAP_NET_ADMIN.
            HostNetError: a socket failed.
        """

    async def close(self) -> None:
        """Close all sockets and threads, and end all iterations of `changes`."""
