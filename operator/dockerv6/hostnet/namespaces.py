"""Other network namespaces: that of a process, or a new one that a veth pair joins with the caller's.

A descriptor keeps a namespace alive. That of a new one is the only one: the kernel removes the namespace and the veth
pair with this process, however it ends. Sources: setns(2), namespaces(7), veth(4), linux/if_link.h.
"""

import ctypes
import os
import secrets
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv6Address, IPv6Interface
from socket import AF_INET6, AF_UNSPEC
from typing import Self, TypeVar

from dockerv6.hostnet import addresses, links
from dockerv6.hostnet.model import MAIN_TABLE
from dockerv6.hostnet.routes import ROUTE, RTN_UNICAST
from dockerv6.lib.netlink import NESTED, NETLINK_ROUTE, NLM_F_CREATE, NLM_F_EXCL, attribute, command
from dockerv6.lib.prefixes import GLOBAL_ID_BYTES, ula_prefix

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_RTM_NEWLINK, _RTM_NEWROUTE = 16, 24
_IFLA_LINKINFO, _IFLA_NET_NS_FD = 18, 28
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_RTPROT_STATIC, _RTA_GATEWAY = 4, 5
_INSIDE = "uplink"
_libc = ctypes.CDLL(None, use_errno=True)  # os.setns and os.unshare need Python 3.12


class NetworkNamespace:
    """A network namespace, until `close`."""

    def __init__(self, descriptor: int) -> None:
        """Take the descriptor of a file of nsfs."""
        self._descriptor = descriptor

    @classmethod
    def of_process(cls, pid: int) -> Self:
        """Raises `OSError`: the process is gone, or this one lacks CAP_SYS_PTRACE."""
        return cls(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def create(cls) -> Self:
        """Raises `OSError`: this process lacks CAP_SYS_ADMIN."""

        def unshare() -> int:
            _check(_libc.unshare(_CLONE_NEWNET))
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        return cls(_on_a_thread(unshare))

    def run(self, function: Callable[[], T]) -> T:
        """Call a function on a thread in the namespace, and wait. Raises what it raises; `OSError`: it can't enter."""

        def enter() -> T:
            _check(_libc.setns(self._descriptor, _CLONE_NEWNET))
            return function()

        return _on_a_thread(enter)

    def open_socket(self, family: int, kind: int, protocol: int) -> socket.socket:
        """A non-blocking socket of the namespace. Raises `OSError`."""
        return self.run(lambda: socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol))

    def join(self) -> tuple[str, IPv6Address, IPv6Address]:
        """Join it with the caller's namespace by a veth pair, and lead its default route there.

        The prefix between them is a random unique local one (RFC 4193). No setting of the caller's namespace changes.

        Returns:
            The name of the caller's end, its address, and the address in this namespace.

        Raises:
            OSError: the kernel refuses.
        """
        name = f"d6p{secrets.token_hex(4)}"
        prefix = next(ula_prefix(os.urandom(GLOBAL_ID_BYTES)).subnets(new_prefix=64))
        peer = links.LINK.pack(AF_UNSPEC, 0, 0, 0, 0) + attribute(links.IFLA_IFNAME, _INSIDE.encode() + b"\0")
        peer += attribute(_IFLA_NET_NS_FD, struct.pack("=I", self._descriptor))
        info = attribute(_INFO_KIND, b"veth\0") + attribute(
            _INFO_DATA | NESTED, attribute(_VETH_INFO_PEER | NESTED, peer)
        )
        payload = links.LINK.pack(AF_UNSPEC, 0, 0, 0, 0) + attribute(links.IFLA_IFNAME, name.encode() + b"\0")
        payload += attribute(_IFLA_LINKINFO | NESTED, info)
        command(NETLINK_ROUTE, _RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload)
        _configure(name, IPv6Interface((prefix[1], 64)))
        self.run(lambda: _configure(_INSIDE, IPv6Interface((prefix[2], 64)), gateway=prefix[1]))
        return name, prefix[1], prefix[2]

    def close(self) -> None:
        """Close the descriptor. A new namespace then ends, unless a socket of it is open."""
        with suppress(OSError):
            os.close(self._descriptor)


def _configure(name: str, address: IPv6Interface, gateway: IPv6Address | None = None) -> None:
    links.set_link_up(name)
    addresses.add_address(name, address)
    if gateway is not None:
        route = ROUTE.pack(AF_INET6, 0, 0, 0, MAIN_TABLE, _RTPROT_STATIC, 0, RTN_UNICAST, 0)
        command(NETLINK_ROUTE, _RTM_NEWROUTE, NLM_F_CREATE, route + attribute(_RTA_GATEWAY, gateway.packed))


def _on_a_thread(function: Callable[[], T]) -> T:
    """A namespace is entered by a thread that ends afterwards: no other code can run there by accident."""
    with ThreadPoolExecutor(1, "netns") as thread:
        return thread.submit(function).result()


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
