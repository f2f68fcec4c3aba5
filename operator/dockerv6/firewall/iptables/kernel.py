"""The legacy IPv6 tables as the kernel shows them, asked by getsockopt(2): needs no library, spawns and loads nothing.

The options are those of linux/netfilter_ipv6/ip6_tables.h, which libiptc uses as well. Reading is atomic, table by
table; changing is left to libiptc (see `commit`).
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dockerv6.firewall.iptables.entries import (
    COUNTERS,
    COUNTERS_AT,
    HEAD,
    NAME_AT,
    OFFSETS,
    OFFSETS_AT,
    STANDARD,
    TARGET_HEAD,
    VERDICT,
    VERDICTS,
    standard,
)
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable

NAMES = Path("/proc/thread-self/net/ip6_tables_names")
"""The legacy tables of this thread's network namespace that somebody has used; looking at a table would make it."""

_GET_INFO = 64
_GET_ENTRIES = 65
_GET_REVISION_TARGET = 69
_REVISION = struct.Struct("=29sB")
_INFO = struct.Struct("=32sI5I5III")
_HEADER = struct.Struct("=32sI4x")
_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_ATTEMPTS = 20
_ZEROES = bytes(COUNTERS)
_JUMP_NAME = 32


def in_use() -> frozenset[str]:
    """The legacy IPv6 tables of this thread's network namespace."""
    try:
        return frozenset(NAMES.read_text(encoding="ascii").split())
    except OSError:  # a kernel without ip6_tables
        return frozenset()


@dataclass(frozen=True, slots=True)
class Listing:
    """A table's rules as the kernel has them, counters taken out.

    Attributes:
        hooks: where each built-in chain begins, and where its policy is.
        counters: where the counters were.
    """

    hooks: tuple[tuple[str, int, int], ...] = ()
    data: bytes = b""
    counters: tuple[int, ...] = ()

    def chains(self) -> Mapping[str, tuple[bytes, ...]]:
        """The entries of every chain in their order, without policies; jumps by their chain's name."""
        starts, raw = self._parted()
        found: dict[str, tuple[bytes, ...]] = {}
        for name, entries in raw.items():
            found[name] = tuple(_plain(each, starts) for each in entries)
        return found

    def _parted(self) -> tuple[dict[int, str], dict[str, list[bytes]]]:
        builtin = {start: name for name, start, _ in self.hooks}
        policies = {policy for _, _, policy in self.hooks}
        starts: dict[int, str] = {}
        found: dict[str, list[bytes]] = {}
        current: list[bytes] = []
        for at, entry in _entries(self.data):
            if at in builtin:
                current = found.setdefault(builtin[at], [])
            target = OFFSETS.unpack_from(entry, OFFSETS_AT)[0]
            if entry[target + NAME_AT : target + NAME_AT + 6] == b"ERROR\0":
                name = entry[target + _JUMP_NAME :].partition(b"\0")[0].decode()
                starts[at + len(entry)] = name
                current = found.setdefault(name, [])
                continue
            if at not in policies:
                current.append(entry)
        # a chain ends with a RETURN that is nobody's rule; behind the last one is the table's own end, named ERROR
        found.pop("ERROR", None)
        for name in starts.values():
            if name in found:
                found[name].pop()
        return starts, found


ABSENT = Listing()
"""Nobody has used the table."""


def _entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        size = OFFSETS.unpack_from(data, at + OFFSETS_AT)[1]
        yield at, data[at : at + size]
        at += size


def _plain(entry: bytes, starts: Mapping[int, str]) -> bytes:
    """As `entries.encode` writes it: without what the kernel notes down for itself, jumps by name."""
    target, size = OFFSETS.unpack_from(entry, OFFSETS_AT)
    plain = entry[: OFFSETS_AT - 4] + bytes(4) + entry[OFFSETS_AT : OFFSETS_AT + 4] + bytes(8) + entry[COUNTERS_AT:]
    if size - target != STANDARD or entry[target + NAME_AT]:
        return plain
    verdict = VERDICT.unpack_from(entry, target + TARGET_HEAD.size)[0]
    # a jump to what isn't a chain is one to the next rule, which is no target at all
    return plain[:target] + standard(VERDICTS.get(verdict, "") if verdict < 0 else starts.get(verdict, ""))


@dataclass(slots=True)
class Tables:
    """Reads tables of the network namespace of the thread that first does so."""

    _socket: socket.socket | None = None
    _libc: ctypes.CDLL = field(default_factory=lambda: ctypes.CDLL(None, use_errno=True))

    def read(self, name: str, known: Listing = ABSENT) -> Listing:
        """The table; `ABSENT` when nobody has used it, `known` itself when it is still that.

        Raises:
            FirewallUnavailable: not permitted.
            FirewallRejected: it never stood still.
        """
        if name not in in_use():
            return ABSENT
        for _ in range(_ATTEMPTS):
            try:
                return self._read(name, known)
            except OSError as error:
                if error.errno != errno.EAGAIN:  # it was changed between both questions
                    raise _translated(error) from error
        raise FirewallRejected(f"the legacy IPv6 table {name} changes all the time")

    def works(self, name: str) -> bool:
        """Whether the kernel has such a table; makes it if nobody has used it yet."""
        try:
            self._info(name)
        except OSError as error:
            if error.errno in {errno.EPERM, errno.EACCES}:
                raise _translated(error) from error
            return False
        return True

    def has_revision(self, target: str, revision: int) -> bool:
        """Whether the kernel has the target in that revision; loads its module."""
        buffer = ctypes.create_string_buffer(_REVISION.pack(target.encode(), revision), _REVISION.size)
        try:
            self._ask(_GET_REVISION_TARGET, buffer)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _info(self, name: str) -> tuple[tuple[tuple[str, int, int], ...], int]:
        buffer = ctypes.create_string_buffer(_INFO.size)
        buffer.value = name.encode()
        said = _INFO.unpack(self._ask(_GET_INFO, buffer))
        valid, starts, policies = said[1], said[2:7], said[7:12]
        hooks = tuple(
            (hook, starts[number], policies[number]) for number, hook in enumerate(_HOOKS) if valid >> number & 1
        )
        return hooks, said[13]

    def _read(self, name: str, known: Listing) -> Listing:
        hooks, size = self._info(name)
        buffer = ctypes.create_string_buffer(_HEADER.size + size)
        _HEADER.pack_into(buffer, 0, name.encode(), size)
        data = bytearray(self._ask(_GET_ENTRIES, buffer)[_HEADER.size :])
        if hooks == known.hooks and size == len(known.data):
            # Entries elsewhere than before would show: the first that is of another length says so before its counters.
            for at in known.counters:
                data[at : at + COUNTERS] = _ZEROES
            if data == known.data:
                return known
        counters: list[int] = []
        at = 0
        while at < size:
            counters.append(at + COUNTERS_AT)
            data[at + COUNTERS_AT : at + HEAD] = _ZEROES
            at += OFFSETS.unpack_from(data, at + OFFSETS_AT)[1]
        return Listing(hooks, bytes(data), tuple(counters))

    def _ask(self, option: int, buffer: "ctypes.Array[ctypes.c_char]") -> memoryview:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)
        length = ctypes.c_uint32(len(buffer))
        asked = self._libc.getsockopt(self._socket.fileno(), socket.IPPROTO_IPV6, option, buffer, ctypes.byref(length))
        if asked != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return memoryview(buffer).cast("B")[: length.value]


def _translated(error: OSError) -> FirewallUnavailable:
    if error.errno in {errno.EPERM, errno.EACCES}:
        return FirewallUnavailable(
            "not permitted to read the legacy IPv6 tables: run as root, or give CAP_NET_ADMIN and CAP_NET_RAW"
        )
    return FirewallUnavailable(
        f"the kernel has no legacy IPv6 tables here ({error}): load them with `modprobe ip6_tables`"
    )
