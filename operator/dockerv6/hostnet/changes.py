"""The kernel's notifications as one stream of changes.

Two netlink sockets, read on the event loop as soon as they are readable: no thread, no polling. What is not decoded is
not needed: a change only says where to look, and its reader looks at everything there.
"""

import asyncio
import errno
import struct
from collections.abc import Callable
from socket import AF_INET6, socket

from dockerv6.hostnet import rtnetlink
from dockerv6.hostnet.addresses import ADDRESS, SCOPE_UNIVERSE
from dockerv6.hostnet.model import ChangeKind, HostChange
from dockerv6.lib.netlink import (
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    RECEIVE_SIZE,
    Buffer,
    attributes,
    messages,
    subscribe,
    text,
)

_RTNLGRP_LINK = 1
_RTNLGRP_IPV6_IFADDR = 9
_RTNLGRP_IPV6_ROUTE = 11
_RTNLGRP_IPV6_NETCONF = 25
_NFNLGRP_NFTABLES = 7

_RTM_NEWLINK = 16
_RTM_DELLINK = 17
_RTM_NEWADDR = 20
_RTM_DELADDR = 21
_RTM_NEWROUTE = 24
_RTM_DELROUTE = 25
_RTM_NEWNETCONF = 80

_NETCONF_BODY = 4  # netconfmsg: the family, padded
_NETCONFA_IFINDEX = 1
_NETCONF_ALL = -1
_NETCONF_DEFAULT = -2
_SENSELESS = (struct.error, IndexError)
_I32 = struct.Struct("=i")
_U32 = struct.Struct("=I")

_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_NFTA_TABLE = 1  # every kind of object tells its table in its attribute 1 (the table itself: its name)

_RECEIVE_BUFFER = 8 << 20
"""Bytes that may wait in the kernel, per socket; only what waits takes memory. A flush of a big ruleset takes some."""

_READS_PER_TURN = 256
"""Datagrams that one turn of the event loop reads (in 2 to 3 ms) before other work gets its turn."""

_MOST_PENDING = 4096
"""Different changes that wait for a slow reader. Past that it is told to look at everything, which is cheaper."""

_COMMIT_TAIL = 0.002
"""Seconds to wait for the end of a commit's notifications, which the kernel sends without a pause."""


class ChangeQueue:
    """Changes that nobody has taken yet, each once, oldest first."""

    def __init__(self) -> None:
        self._changes: dict[tuple[ChangeKind, str], int | None] = {}

    def __bool__(self) -> bool:
        return bool(self._changes)

    def add(self, kind: ChangeKind, subject: str, generation: int | None = None) -> None:
        """Note a change; one that waits already only learns the newer generation."""
        key = (kind, subject)
        if key in self._changes:
            # One of unknown generation can't be waited for: the merged one has to be looked at in any case.
            if self._changes[key] is not None:
                self._changes[key] = generation
        elif len(self._changes) < _MOST_PENDING:
            self._changes[key] = generation
        else:
            self.lose()

    def lose(self) -> None:
        """Anything may have happened: that says it all."""
        self._changes.clear()
        self._changes[ChangeKind.LOST, ""] = None

    def take(self) -> HostChange:
        """The oldest one.

        Raises:
            KeyError: there is none.
        """
        if not self._changes:
            raise KeyError("no change is pending")
        (kind, subject), generation = next(iter(self._changes.items()))
        del self._changes[kind, subject]
        return HostChange(kind, subject, generation)


class StackDecoder:
    """Notes what rtnetlink's datagrams tell: links, IPv6 addresses, routes and forwarding."""

    def __init__(self, pending: ChangeQueue) -> None:
        self._pending = pending
        self._names: dict[int, str] = {}

    def feed(self, datagram: Buffer) -> None:
        """Read one datagram. One that makes no sense may stand for anything."""
        try:
            for kind, start, end in messages(datagram):
                self._message(kind, datagram, start, end)
        except _SENSELESS:
            self._pending.lose()

    def forget(self) -> None:
        """After a loss: renames may have been missed."""
        self._names.clear()

    def _message(self, kind: int, datagram: Buffer, start: int, end: int) -> None:
        if kind in (_RTM_NEWLINK, _RTM_DELLINK):
            self._link(kind, datagram, start, end)
        elif kind in (_RTM_NEWADDR, _RTM_DELADDR):
            self._address(datagram, start)
        elif kind in (_RTM_NEWROUTE, _RTM_DELROUTE):
            self._route(datagram, start, end)
        elif kind == _RTM_NEWNETCONF:
            self._netconf(datagram, start, end)

    def _name(self, index: int) -> str:
        return rtnetlink.interface_name(index, self._names) or ""

    def _link(self, kind: int, datagram: Buffer, start: int, end: int) -> None:
        _, _, index, _, _ = rtnetlink.LINK.unpack_from(datagram, start)
        for attribute, value, stop in attributes(datagram, start + rtnetlink.LINK.size, end):
            if attribute == rtnetlink.IFLA_IFNAME:
                name = text(datagram, value, stop)
                self._names[index] = name
                self._pending.add(ChangeKind.LINK, name)
                break
        # A bridge's port that leaves it is told as a deletion too, of the family "bridge": the interface stays, and
        # then costs one look-up of its name. Indices of the dead would pile up.
        if kind == _RTM_DELLINK:
            self._names.pop(index, None)

    def _address(self, datagram: Buffer, start: int) -> None:
        _, _, _, scope, index = ADDRESS.unpack_from(datagram, start)
        if scope == SCOPE_UNIVERSE:
            self._pending.add(ChangeKind.ADDRESS, self._name(index))

    def _route(self, datagram: Buffer, start: int, end: int) -> None:
        _, length, _, _, table, protocol, _, route_type, _ = rtnetlink.ROUTE.unpack_from(datagram, start)
        if rtnetlink.is_delegation(length, table, protocol, route_type):
            self._pending.add(ChangeKind.ROUTE, "")  # it is the host's; the kernel says loopback
        if table == rtnetlink.TABLE_LOCAL or route_type != rtnetlink.UNICAST:
            return
        named = False
        for attribute, value, stop in attributes(datagram, start + rtnetlink.ROUTE.size, end):
            if attribute == rtnetlink.RTA_OIF:
                self._pending.add(ChangeKind.ROUTE, self._name(_U32.unpack_from(datagram, value)[0]))
                named = True
            elif attribute == rtnetlink.RTA_MULTIPATH:
                for index in rtnetlink.next_hops(datagram, value, stop):
                    self._pending.add(ChangeKind.ROUTE, self._name(index))
                    named = True
        if not named:
            self._pending.add(ChangeKind.ROUTE, "")

    def _netconf(self, datagram: Buffer, start: int, end: int) -> None:
        if datagram[start] != AF_INET6:
            return
        for attribute, value, _ in attributes(datagram, start + _NETCONF_BODY, end):
            if attribute == _NETCONFA_IFINDEX:
                (index,) = _I32.unpack_from(datagram, value)
                self._pending.add(ChangeKind.SYSCTL, self._subject(index))

    def _subject(self, index: int) -> str:
        if index == _NETCONF_ALL:
            return "all"
        return "default" if index == _NETCONF_DEFAULT else self._name(index)


class FirewallDecoder:
    """Notes which tables nf_tables' commits touched.

    The kernel sends a message for each object, after the commit, and NFT_MSG_NEWGEN last. Tables are noted at that
    end: once per commit, and with its generation.

    (NEWGEN also tells the writer's process, but as a thread's id in the initial PID namespace: useless in a container.)
    """

    def __init__(self, pending: ChangeQueue) -> None:
        self._pending = pending
        self._touched: dict[bytes, None] = {}  # family's byte and table's name, in order

    @property
    def unfinished(self) -> bool:
        """Objects were told, but not yet the end of their commit."""
        return bool(self._touched)

    def feed(self, datagram: Buffer) -> None:
        """Read one datagram. One that makes no sense may stand for anything."""
        try:
            for kind, start, end in messages(datagram):
                if kind == rtnetlink.NFT_NEWGEN:
                    self.finish(rtnetlink.generation(datagram, start, end))
                elif kind >> 8 == rtnetlink.NFT_SUBSYSTEM:
                    self._touch(datagram, start, end)
        except _SENSELESS:
            self._pending.lose()

    def finish(self, generation: int | None = None) -> None:
        """The commit is complete, or what was told is not part of one (such as a device's chain that went with it)."""
        for key in self._touched:
            self._pending.add(ChangeKind.FIREWALL, _subject(key), generation)
        self._touched.clear()

    def forget(self) -> None:
        """After a loss."""
        self._touched.clear()

    def _touch(self, datagram: Buffer, start: int, end: int) -> None:
        for attribute, value, stop in attributes(datagram, start + rtnetlink.NFGENMSG_SIZE, end):
            if attribute == _NFTA_TABLE:
                self._touched[bytes(datagram[start : start + 1]) + bytes(datagram[value:stop])] = None
                return


def _subject(key: bytes) -> str:
    return f"{_FAMILIES.get(key[0], key[0])} {text(key, 1, len(key))}"


class ChangeFeed:
    """Both sockets on the running event loop; one reader takes the changes."""

    def __init__(self, receive_buffer: int = _RECEIVE_BUFFER) -> None:
        """Subscribe now.

        Raises:
            OSError: a socket can't be had.
        """
        self._loop = asyncio.get_running_loop()
        self._pending = ChangeQueue()
        self._pending.lose()
        self._stack = StackDecoder(self._pending)
        self._firewall = FirewallDecoder(self._pending)
        self._buffer = memoryview(bytearray(RECEIVE_SIZE))
        self._wake = asyncio.Event()
        self._tail: asyncio.TimerHandle | None = None
        self._failure: OSError | None = None
        self._closed = False
        groups = (_RTNLGRP_LINK, _RTNLGRP_IPV6_IFADDR, _RTNLGRP_IPV6_ROUTE, _RTNLGRP_IPV6_NETCONF)
        self._stack_socket = subscribe(NETLINK_ROUTE, groups, receive_buffer)
        try:
            self._firewall_socket = subscribe(NETLINK_NETFILTER, (_NFNLGRP_NFTABLES,), receive_buffer)
        except OSError:
            self._stack_socket.close()
            raise
        self._loop.add_reader(self._stack_socket, self._read_stack)
        self._loop.add_reader(self._firewall_socket, self._read_firewall)

    async def take(self) -> HostChange | None:
        """The next change; waits for one. None once closed.

        Raises:
            OSError: a socket failed.
        """
        while not self._pending:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        return None if self._closed else self._pending.take()

    def close(self) -> None:
        """Give the sockets back, and end whoever waits."""
        if self._closed:
            return
        self._closed = True
        if self._tail is not None:
            self._tail.cancel()
        for subscription in (self._stack_socket, self._firewall_socket):
            self._loop.remove_reader(subscription)
            subscription.close()
        self._wake.set()

    def _read_stack(self) -> None:
        self._read(self._stack_socket, self._stack.feed, self._stack.forget)

    def _read_firewall(self) -> None:
        self._read(self._firewall_socket, self._firewall.feed, self._firewall.forget)
        if self._tail is not None:
            self._tail.cancel()
            self._tail = None
        if self._firewall.unfinished:
            self._tail = self._loop.call_later(_COMMIT_TAIL, self._end_tail)

    def _end_tail(self) -> None:
        self._tail = None
        self._firewall.finish()
        self._wake.set()

    def _read(self, source: socket, feed: Callable[[Buffer], None], forget: Callable[[], None]) -> None:
        for _ in range(_READS_PER_TURN):
            try:
                size = source.recv_into(self._buffer)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    self._fail(source, error)
                    break
                # The kernel dropped notifications (netlink(7)); what it has queued before is still readable.
                forget()
                self._pending.lose()
            else:
                feed(self._buffer[:size])
        if self._pending or self._failure:
            self._wake.set()

    def _fail(self, source: socket, error: OSError) -> None:
        self._failure = error
        self._loop.remove_reader(source)
