"""The host port: everything that dockerv6 asks of the kernel's network stack but packet filtering.

Errors::

    HostNetError
    └── HostNetDenied   the kernel or the mount refuses (EPERM, EACCES, EROFS): not root, a read-only /proc/sys
"""

from collections.abc import AsyncIterator
from typing import Protocol

from dockerv6.hostnet.model import Change, Interface, Route


class HostNetError(Exception):
    """The kernel said no; the message holds errno's text and what was asked."""


class HostNetDenied(HostNetError):  # noqa: N818 - named for what happened
    """Not permitted: the message says which privilege or mount is missing."""


class HostNet(Protocol):
    """The network namespace that the operator runs in."""

    async def sysctl(self, name: str) -> str | None:
        """The value of ``net.ipv6.conf.all.forwarding`` and the like; None where the kernel has no such key.

        An interface's name is one path component, dots and all: give it as ``net.ipv6.conf/eth0.100/accept_ra``
        (sysctl(8) syntax: the first separator met, dot or slash, is the separator).
        """

    async def set_sysctl(self, name: str, value: str) -> None:
        """Write a sysctl. Raises `HostNetDenied` or `HostNetError`."""

    async def interfaces(self) -> tuple[Interface, ...]:
        """All interfaces, by index."""

    async def routes(self) -> tuple[Route, ...]:
        """All unicast IPv6 routes outside table local."""

    def changes(self) -> AsyncIterator[Change]:
        """Changes from now on (rtnetlink and nfnetlink); first one of kind LOST. Reopens by itself after an overflow."""

    async def close(self) -> None:
        """Close sockets and threads."""
