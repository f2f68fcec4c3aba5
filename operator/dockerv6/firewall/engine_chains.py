"""Where the engine has its own chains: without them, it can neither create networks nor publish ports.

Engines with iptables add rules to the chain `DOCKER` of the tables nat and filter, of IPv4 and, if `ip6tables` is on,
of IPv6. They create it when they start and when firewalld reloads, and at no other time (moby, libnetwork,
setupIPChains).
Engine 29's nftables backend has tables of its own. Nothing here spawns a process or loads a table.
"""

import ctypes
import errno
import os
import socket
import struct
from pathlib import Path

from dockerv6.firewall.nftables.foreign import list_chains
from dockerv6.firewall.nftables.session import NftSession, is_absent
from dockerv6.firewall.port import FirewallForbidden, FirewallUnavailable
from dockerv6.firewall.walk.remedies import ENGINE_TABLE
from dockerv6.firewall.xtables.rule import FILTER, NAT

CHAIN = "DOCKER"

_TABLES = (NAT, FILTER)
_FAMILIES = {
    "ip": (socket.AF_INET, socket.IPPROTO_IP, "ip_tables_names"),
    "ip6": (socket.AF_INET6, socket.IPPROTO_IPV6, "ip6_tables_names"),
}
_PROC_NET = Path("/proc/thread-self/net")
_GET_INFO, _GET_ENTRIES = 64, 65  # IPT_SO_*, IP6T_SO_*
_INFO = struct.Struct("=32sI5I5III")  # ipt_getinfo
_HEADER = struct.Struct("=32sI4x")  # ipt_get_entries
_CHAIN_HEAD = b"ERROR".ljust(29, b"\0") + b"\0"  # name and revision of the target that begins a user's chain
_NAME_LENGTH = 30
_ATTEMPTS = 20


async def read(session: NftSession) -> frozenset[str]:
    """The tables that have the engine's chains, such as "ip nat", in either variant of xtables; "ip docker-bridges".

    Raises:
        FirewallUnavailable: they can't be read.
    """
    found: set[str] = set()
    try:
        listed = await list_chains(session)
    except FirewallUnavailable as error:
        if not is_absent(error):
            raise
        listed = ()
    for each in listed:
        xtables = each.family in _FAMILIES and each.table in _TABLES and each.name == CHAIN
        if xtables or each.table == ENGINE_TABLE:
            found.add(f"{each.family} {each.table}")
    return frozenset(found | await session.call(_in_legacy))


def _in_legacy() -> set[str]:
    return {
        f"{family} {table}"
        for family, (_, _, names) in _FAMILIES.items()
        for table in _used(_PROC_NET / names)
        if table in _TABLES and CHAIN in chain_names(_entries(family, table))
    }


def _used(names: Path) -> list[str]:
    """The tables that a program has used; reading another would create it."""
    try:
        return names.read_text(encoding="ascii").split()
    except OSError:  # a kernel without them
        return []


def chain_names(entries: bytes) -> frozenset[str]:
    """The names of the user-defined chains in a table, as the kernel describes it (xt_error_target)."""
    found, at = set(), entries.find(_CHAIN_HEAD)
    while at >= 0:
        start = at + len(_CHAIN_HEAD)
        name = entries[start : start + _NAME_LENGTH].partition(b"\0")[0]
        found.add(name.decode(errors="surrogateescape"))
        at = entries.find(_CHAIN_HEAD, start + _NAME_LENGTH)
    return frozenset(found)


def _entries(family: str, table: str) -> bytes:
    """The table's entries. Raises `FirewallUnavailable`."""
    domain, level, _ = _FAMILIES[family]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        with socket.socket(domain, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as channel:
            for _ in range(_ATTEMPTS):
                info = _getsockopt(libc, channel, level, _GET_INFO, table, _INFO.size)
                size = _INFO.unpack(info)[13]
                try:
                    return _getsockopt(libc, channel, level, _GET_ENTRIES, table, _HEADER.size + size, size)
                except BlockingIOError:  # EAGAIN: it was changed between the two requests
                    continue
    except OSError as error:
        kind = FirewallForbidden if error.errno in {errno.EPERM, errno.EACCES} else FirewallUnavailable
        raise kind(f"the legacy table {family} {table} can't be read: {error}") from error
    raise FirewallUnavailable(f"the legacy table {family} {table} keeps changing while it is read")


def _getsockopt(
    libc: ctypes.CDLL, channel: socket.socket, level: int, option: int, table: str, length: int, size: int = 0
) -> bytes:
    buffer = ctypes.create_string_buffer(length)
    if size:
        _HEADER.pack_into(buffer, 0, table.encode(), size)
    else:
        buffer.value = table.encode()
    there = ctypes.c_uint32(length)
    if libc.getsockopt(channel.fileno(), level, option, buffer, ctypes.byref(there)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw[: there.value]
