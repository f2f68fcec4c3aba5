"""Reads legacy tables from the kernel by getsockopt(2): needs no library, spawns and loads nothing.

The options are those of linux/netfilter_ipv6/ip6_tables.h, which libiptc uses as well; those of IPv4 have the same
numbers. Its entries have another layout, which is not decoded. A table is read atomically.
Tables are written by `libiptc`.
"""

import ctypes
import errno
import os
import socket
import struct
from bisect import bisect_left
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from dockerv6.firewall.port import FirewallBusy, FirewallForbidden, FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables.entries import (
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
    decode,
    standard,
)
from dockerv6.firewall.xtables.rule import ChainTarget, ExtensionTarget, ListedRule, XtablesChain

T = TypeVar("T")


class LegacyFamily(NamedTuple):
    """One of the two families of legacy tables.

    Attributes:
        name: of the protocol.
        module: of the kernel.
        domain: of sockets.
        level: of their options.
    """

    name: str
    module: str
    domain: int
    level: int

    @property
    def names(self) -> Path:
        """The tables of this thread's network namespace that a program has used; reading another would make it."""
        return _PROC_NET / f"{self.module}_names"


IPV4 = LegacyFamily("IPv4", "ip_tables", socket.AF_INET, socket.IPPROTO_IP)
IPV6 = LegacyFamily("IPv6", "ip6_tables", socket.AF_INET6, socket.IPPROTO_IPV6)

_PROC_NET = Path("/proc/thread-self/net")
_GET_INFO = 64
_GET_ENTRIES = 65
_GET_REVISION_TARGET = 69
_REVISION = struct.Struct("=29sB")
_INFO = struct.Struct("=32sI5I5III")
_HEADER = struct.Struct("=32sI4x")
_LARGE = 1 << 19
"""Bytes of a large table; the kernel copies them in 0.4 ms."""

_FULL_READ_EVERY = 8
"""Polls of large tables."""

_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_ATTEMPTS = 20
_NO_COUNTERS = bytes(HEAD - OFFSETS_AT - OFFSETS.size)
"""Instead of what is between the offsets and the matches: comefrom and the counters."""

_BLOCK = 1 << 15
"""Bytes that are compared at a time."""

_CHAIN_NAME_AT = 32


def used_tables(family: LegacyFamily = IPV6) -> frozenset[str]:
    """The names of the legacy tables of this thread's network namespace that a program has used."""
    try:
        return frozenset(family.names.read_text(encoding="ascii").split())
    except OSError:  # a kernel without them
        return frozenset()


@dataclass(frozen=True, slots=True)
class LegacyTable:
    """A table's rules as the kernel has them, with the counters of when it was read.

    Attributes:
        hooks: the built-in chains: name, and the offsets of the first rule and of the policy.
        data: the entries, one behind the other.
        counters: offsets of the counters.
    """

    hooks: tuple[tuple[str, int, int], ...] = ()
    data: bytes = b""
    counters: tuple[int, ...] = ()

    def equals(self, data: bytes) -> bool:
        """Whether the data is equal except for the counters.

        Entries at other offsets show as well: up to the first that is of another length, counters are where they were,
        and that one's length stands before its own.
        """
        if len(data) != len(self.data):
            return False
        return all(self._equal_block(data, at) for at in range(0, len(data), _BLOCK))

    def _equal_block(self, data: bytes, start: int) -> bool:
        there, here = data[start : start + _BLOCK], self.data[start : start + _BLOCK]
        if there == here:  # most counters stand still
            return True
        block, end = bytearray(there), start + len(there)
        for counter in self.counters[bisect_left(self.counters, start - COUNTERS) : bisect_left(self.counters, end)]:
            first, last = max(counter, start) - start, min(counter + COUNTERS, end) - start
            block[first:last] = here[first:last]
        return block == here

    def entries(self) -> Mapping[str, tuple[bytes, ...]]:
        """The entries of every chain in their order, as `encode` writes them, without policies."""
        starts, raw = self._parted()
        return {name: tuple(_plain(each, starts) for each in found) for name, found in raw.items()}

    def chains(self, table: str, *names: str) -> Mapping[str, XtablesChain]:
        """The chains, or those of these names, decoded. `table`: its name."""
        found = self.entries()
        return {
            name: XtablesChain(self._policy(name), tuple(_listed(table, name, each, found) for each in found[name]))
            for name in names or found
            if name in found
        }

    def _policy(self, chain: str) -> str:
        for name, _, policy in self.hooks:
            if name == chain:
                target = policy + OFFSETS.unpack_from(self.data, policy + OFFSETS_AT)[0]
                verdict = self.data[target + TARGET_HEAD.size :][: VERDICT.size].ljust(VERDICT.size, b"\0")
                return VERDICTS.get(VERDICT.unpack(verdict)[0], "")
        return ""

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
                name = entry[target + _CHAIN_NAME_AT :].partition(b"\0")[0].decode(errors="surrogateescape")
                starts[at + len(entry)] = name
                current = found.setdefault(name, [])
                continue
            if at not in policies:
                current.append(entry)
        # the kernel ends each chain with a RETURN that is no rule; behind the last one is the table's end, named ERROR
        found.pop("ERROR", None)
        for name in starts.values():
            if name in found:
                del found[name][-1:]
        return starts, found


def _listed(table: str, chain: str, entry: bytes, chains: Container[str]) -> ListedRule:
    rule = decode(entry)
    if isinstance(rule.target, ChainTarget) and rule.target.chain not in chains:
        rule = replace(rule, target=ExtensionTarget(rule.target.chain))
    return ListedRule(table, chain, rule, entry=entry)


ABSENT = LegacyTable()
"""A table that no program has used yet."""


def _table(hooks: tuple[tuple[str, int, int], ...], data: bytes) -> LegacyTable:
    """The table, after a check that each entry and each part that is read of it are within the data.

    Raises:
        FirewallRejected: they are not.
    """
    starts: list[int] = []
    at = 0
    while at < len(data):
        starts.append(at)
        if at + HEAD > len(data):
            raise _damaged(at)
        target, size = OFFSETS.unpack_from(data, at + OFFSETS_AT)
        if target < HEAD or target + TARGET_HEAD.size > size or at + size > len(data):
            raise _damaged(at)
        at += size
    policies = {policy for _, _, policy in hooks}
    if not policies <= set(starts):
        raise _damaged(max(policies))
    return LegacyTable(hooks, data, tuple(start + COUNTERS_AT for start in starts))


def _damaged(at: int) -> FirewallRejected:
    return FirewallRejected(f"a legacy IPv6 table can't be read: there is no whole rule at byte {at} of it")


def _entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        size = OFFSETS.unpack_from(data, at + OFFSETS_AT)[1]
        yield at, data[at : at + size]
        at += size


def _plain(entry: bytes, starts: Mapping[int, str]) -> bytes:
    """As `encode` writes it: without counters and the kernel's own fields, jumps by name."""
    target, size = OFFSETS.unpack_from(entry, OFFSETS_AT)
    plain = entry[: OFFSETS_AT - 4] + bytes(4) + entry[OFFSETS_AT : OFFSETS_AT + 4] + _NO_COUNTERS + entry[HEAD:]
    if size - target != STANDARD or entry[target + NAME_AT]:
        return plain
    verdict = VERDICT.unpack_from(entry, target + TARGET_HEAD.size)[0]
    # a jump that leads to no chain leads to the next rule: the entry has no target
    return plain[:target] + standard(VERDICTS.get(verdict, "") if verdict < 0 else starts.get(verdict, ""))


@dataclass(slots=True)
class LegacyReader:
    """Reads tables of the network namespace of the calling thread."""

    family: LegacyFamily = IPV6
    _libc: ctypes.CDLL = field(default_factory=lambda: ctypes.CDLL(None, use_errno=True))

    def read(self, name: str, known: LegacyTable = ABSENT) -> LegacyTable:
        """The table; `ABSENT` when no program has used it, `known` itself when it is unchanged.

        Raises:
            FirewallUnavailable: no such table, or (`FirewallForbidden`) no privilege.
            FirewallBusy: the table keeps changing.
        """
        return self._repeated(name, partial(self._read, name, known)) if name in used_tables() else ABSENT

    def raw(self, name: str) -> LegacyTable:
        """A table of any family, not checked; `ABSENT` when no program has used it. Raises as `read`."""
        used = name in used_tables(self.family)
        return self._repeated(name, partial(self._raw, name)) if used else ABSENT

    def _repeated(self, name: str, read: Callable[[], T]) -> T:
        for _ in range(_ATTEMPTS):
            try:
                return read()
            except OSError as error:
                if error.errno != errno.EAGAIN:  # it was changed between the two requests
                    raise self._translated(error) from error
        raise FirewallBusy(f"the legacy {self.family.name} table {name} keeps changing while it is read")

    def has_table(self, name: str) -> bool:
        """Whether the kernel has such a table; makes it if no program has used it yet. Raises `FirewallForbidden`."""
        try:
            self._info(name)
        except OSError as error:
            if error.errno in {errno.EPERM, errno.EACCES}:
                raise self._translated(error) from error
            return False
        return True

    def has_revision(self, target: str, revision: int) -> bool:
        """Whether the kernel has the target in that revision; loads its module."""
        buffer = ctypes.create_string_buffer(_REVISION.pack(target.encode(), revision), _REVISION.size)
        try:
            self._getsockopt(_GET_REVISION_TARGET, buffer)
        except OSError:
            return False
        return True

    def _info(self, name: str) -> tuple[tuple[tuple[str, int, int], ...], int]:
        buffer = ctypes.create_string_buffer(_INFO.size)
        buffer.value = name.encode()
        info = _INFO.unpack(self._getsockopt(_GET_INFO, buffer))
        valid, starts, policies = info[1], info[2:7], info[7:12]
        hooks = tuple(
            (hook, starts[number], policies[number]) for number, hook in enumerate(_HOOKS) if valid >> number & 1
        )
        return hooks, info[13]

    def _read(self, name: str, known: LegacyTable) -> LegacyTable:
        found = self._raw(name)
        if found.hooks == known.hooks and known.equals(found.data):
            return known
        return _table(found.hooks, found.data)

    def _raw(self, name: str) -> LegacyTable:
        hooks, size = self._info(name)
        return LegacyTable(hooks, self._entries(name, size))

    def _entries(self, name: str, size: int) -> bytes:
        buffer = ctypes.create_string_buffer(_HEADER.size + size)
        _HEADER.pack_into(buffer, 0, name.encode(), size)
        return bytes(self._getsockopt(_GET_ENTRIES, buffer)[_HEADER.size :])

    def same_size(self, name: str, known: LegacyTable) -> bool:
        """Whether the table and its built-in chains have the same sizes as before: costs microseconds."""
        if (name in used_tables()) is (known is ABSENT):
            return False
        try:
            return known is ABSENT or self._info(name) == (known.hooks, len(known.data))
        except OSError as error:
            raise self._translated(error) from error

    def _getsockopt(self, option: int, buffer: "ctypes.Array[ctypes.c_char]") -> memoryview:
        length = ctypes.c_uint32(len(buffer))
        domain, level = self.family.domain, self.family.level
        with socket.socket(domain, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as channel:
            failed = self._libc.getsockopt(channel.fileno(), level, option, buffer, ctypes.byref(length))
        if failed:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return memoryview(buffer).cast("B")[: length.value]

    def _translated(self, error: OSError) -> FirewallUnavailable:
        tables = f"legacy {self.family.name} tables"
        if error.errno in {errno.EPERM, errno.EACCES}:
            return FirewallForbidden(
                f"not permitted to read the {tables}: run as root, or give CAP_NET_ADMIN and CAP_NET_RAW"
            )
        return FirewallUnavailable(
            f"the kernel has no {tables} here ({error}): load them with `modprobe {self.family.module}`"
        )


@dataclass(slots=True)
class LegacyWatch:
    """Detects changes of tables, since the kernel announces none.

    Attributes:
        revision: how often the tables have been found changed.
        tables: as they were read last, by name.
    """

    names: tuple[str, ...]
    reader: LegacyReader = field(default_factory=LegacyReader)
    revision: int = 0
    tables: dict[str, LegacyTable] = field(default_factory=dict)
    _polls: int = 0

    def read(self) -> dict[str, LegacyTable]:
        """The tables now; an unchanged table is the same object as before. Raises as `LegacyReader.read` does."""
        found = {name: self.reader.read(name, self.tables.get(name, ABSENT)) for name in self.names}
        if any(table is not self.tables.get(name, ABSENT) for name, table in found.items()):
            self.revision += 1
        self.tables = found
        return found

    def poll(self) -> int:
        """The current revision.

        Large tables are only read at every eighth poll. In between, their sizes show an added or removed rule, and a
        rule that moved to another built-in chain; a change of order is detected at the next read.
        """
        self._polls += 1
        large = sum(len(table.data) for table in self.tables.values()) > _LARGE
        if not large or self._polls % _FULL_READ_EVERY == 0 or not self._same_sizes():
            self.read()
        return self.revision

    def _same_sizes(self) -> bool:
        return all(self.reader.same_size(name, table) for name, table in self.tables.items())
