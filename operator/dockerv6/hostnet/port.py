"""The host port: everything that dockerv6 asks of the kernel's network stack but packet filtering.

Errors::

    HostNetError
    └── HostNetDenied   the kernel or the mount refuses (EPERM, EACCES, EROFS): not root, a read-only /proc/sys
"""

from collections.abc import AsyncIterator, Collection
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from typing import Protocol

from dockerv6.hostnet.model import HostChange, HostPrefix, Interface, Listener, ProxyNeighbour, Route


class HostNetError(Exception):
    """The kernel said no; the message holds errno's text and what was asked."""


class HostNetDenied(HostNetError):  # noqa: N818 - named for what happened
    """Not permitted: the message says which privilege or mount is missing."""


class HostNet(Protocol):
    """The network namespace that the operator runs in."""

    async def sysctl(self, name: str) -> str | None:
        """The value of ``net.ipv6.conf.all.forwarding`` and the like; None where the kernel has no such key.

        Names are written as for sysctl(8): whichever of dot and slash comes first separates, and the other one is an
        ordinary character (a slash then stands for a dot in a name): ``net/ipv6/conf/eth0.100/accept_ra`` is
        ``net.ipv6.conf.eth0/100.accept_ra``. `model.interface_sysctl` writes them safely.

        Raises:
            ValueError: not a name of a sysctl.
            HostNetDenied: it can't be read (some are write-only, some root's).
            HostNetError: any other refusal.
        """

    async def set_sysctl(self, name: str, value: str) -> None:
        """Write a sysctl.

        Raises:
            ValueError: not a name of a sysctl.
            HostNetDenied: not permitted.
            HostNetError: no such key, or a value that the kernel refuses.
        """

    async def interfaces(self) -> tuple[Interface, ...]:
        """All interfaces, by index."""

    async def routes(self) -> tuple[Route, ...]:
        """All unicast IPv6 routes outside table local, but those to link-local destinations."""

    async def prefixes(self) -> tuple[HostPrefix, ...]:
        """What tells of the host's prefixes: global addresses with their lifetimes, on-link routes, delegations.

        Left out are link-local, multicast, loopback and default ones, routes to a single address, routes whose
        lifetime is over, and delegations longer than /64; unique local ones are told. Ordered by interface and prefix.

        An on-link route does not tell whether its prefix is still preferred: the addresses do. It may outlive an
        address that was removed before its time. The kernel (Linux 6.18) keeps no lifetime of delegations.
        """

    async def proxies(self) -> frozenset[ProxyNeighbour]:
        """The proxy neighbours of all interfaces, anybody's."""

    async def add_proxy(self, interface: str, address: IPv6Address) -> None:
        """Answer neighbour solicitations for the address on that interface, marked as ours; there already is success.

        It has an effect only while the interface's ``proxy_ndp`` is 1 and forwarding is on (Linux net/ipv6/ndisc.c,
        ndisc_recv_ns); the first answers come up to 0.8 s late (the sysctl ``proxy_delay`` of neigh). The kernel drops
        all of an interface's when it goes down, and older ones when it loses its carrier; either is a change of LINK.
        Somebody else's stays theirs. Raises `HostNetDenied`, `HostNetError` (no such interface).
        """

    async def remove_proxy(self, interface: str, address: IPv6Address) -> None:
        """Answer no more, whoever began it; not there, and an interface that is gone, is success.

        Raises `HostNetDenied`, `HostNetError`.
        """

    async def set_up(self, interface: str) -> None:
        """Set the interface administratively up; up already is success. Raises `HostNetDenied`, `HostNetError`."""

    async def add_address(self, interface: str, address: IPv6Interface) -> None:
        """Give it an address, usable at once (no duplicate address detection); there already is success.

        One that is tentative, or has failed the detection, is made usable. Raises `HostNetDenied`, `HostNetError`.
        """

    async def set_hairpin(self, port: str, *, on: bool) -> None:
        """Let a bridge's port send frames back where they came from (IFLA_BRPORT_MODE); so already is success.

        Raises `HostNetDenied`, `HostNetError` (not a bridge's port, gone).
        """

    async def set_bridge_netfilter(self, bridge: str, *, on: bool) -> None:
        """Let ip6tables and nftables see what is bridged within this bridge (IFLA_BR_NF_CALL_IP6TABLES).

        It has no effect while the kernel module br_netfilter is not loaded. Raises `HostNetDenied`, `HostNetError`.
        """

    async def listeners(self) -> frozenset[Listener]:
        """Sockets of this network namespace that wait for IPv6: TCP listeners, unconnected UDP sockets, SCTP endpoints.

        Those of IPv4 alone are not among them; a dual-stack one is, and one of an IPv4-mapped address is not.
        """

    async def forget_udp_flows(self, ports: Collection[int], destinations: Collection[IPv6Address]) -> int:
        """Drop conntrack's IPv6 UDP flows that were begun towards one of the ports at one of the addresses.

        Gives how many they were. Both are as the packet had them before any translation; flows to the same ports of
        other addresses stay, such as those of containers to servers elsewhere.

        A UDP flow that goes on keeps the translation that it began with, whatever the rules say now: to a container
        that is gone, or to none although there is one. Other protocols end by themselves. A kernel without conntrack
        has none. Raises `HostNetDenied`, `HostNetError`.
        """

    async def forget_translated_flows(self, prefixes: Collection[IPv6Network]) -> int:
        """Drop conntrack's IPv6 flows that were translated to a source, or from a destination, in one of the prefixes.

        Gives how many they were. A flow keeps the translation that it began with, also when its prefix leads nowhere
        any more, and one of UDP that goes on (a tunnel's keep-alives) would do so for ever. The next packet of the same
        flow is translated anew. A kernel without conntrack has none. Raises `HostNetDenied`, `HostNetError`.
        """

    async def firewall_generation(self) -> int | None:
        """nf_tables' generation in this namespace; every commit by anybody raises it. None: no nf_tables in the kernel.

        Equal before and after reading a ruleset, it dates what was read (see `HostChange.generation`). It has 32 bits
        and skips 0 when it wraps.
        """

    def changes(self) -> AsyncIterator[HostChange]:
        """Changes from the first step of the iteration on (rtnetlink and nfnetlink); the first is of kind LOST.

        The same change is reported once while nobody has taken it. After an overflow there is another LOST, and it
        goes on. Our own writes are reported too. It ends with `close`.

        Raises:
            HostNetDenied: nf_tables' notifications need CAP_NET_ADMIN.
            HostNetError: a socket failed.
        """

    async def close(self) -> None:
        """Close sockets and threads, and end all iterations of `changes`."""
