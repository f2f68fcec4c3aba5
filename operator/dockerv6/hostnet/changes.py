"""Notifications of the kernel as one stream of changes.

Two netlink sockets are read on the event loop when they are readable, without threads or polling. Only as much of a
message is decoded as is needed to name what changed: the consumer of a change reads the current state.

Sources: rtnetlink(7), linux/rtnetlink.h, linux/netconf.h, linux/netfilter/nf_tables.h.
"""

import asyncio
import errno
import struct
from collections.abc import Callable
from socket import AF_INET6, socket

from dockerv6.hostnet.addresses import ADDRESS, SCOPE_UNIVERSE
from dockerv6.hostnet.links import IFLA_IFNAME, LINK, interface_name
from dockerv6.hostnet.model import ChangeKind, HostChange
from dockerv6.hostnet.routes import (
    ROUTE,
    RT_TABLE_LOCAL,
    RTA_MULTIPATH,
    RTA_OIF,
    RTN_UNICAST,
    is_delegation,
    is_rejecting,
    next_hops,
)
from dockerv6.lib.netlink import (
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    RECEIVE_SIZE,
    Buffer,
    attributes,
    find,
    messages,
    subscribe,
    text,
)

_RTNLGRP_LINK = 1
_RTNLGRP_IPV6_IFADDR = 9
_RTNLGRP_IPV6_ROUTE = 11
_RTNLGRP_IPV6_RULE = 19
_RTNLGRP_IPV6_NETCONF = 25
_NFNLGRP_NFTABLES = 7

_RTM_NEWLINK = 16
_RTM_DELLINK = 17
_RTM_NEWADDR = 20
_RTM_DELADDR = 21
_RTM_NEWROUTE = 24
_RTM_DELROUTE = 25
_RTM_NEWRULE = 32
_RTM_DELRULE = 33
_RTM_NEWNETCONF = 80

_NETCONF_SIZE = 4  # netconfmsg: the family, padded
_NETCONFA_IFINDEX = 1
_NETCONFA_IFINDEX_ALL = -1
_NETCONFA_IFINDEX_DEFAULT = -2

_NFNL_SUBSYS_NFTABLES = 10
_NFT_MSG_NEWGEN = (_NFNL_SUBSYS_NFTABLES << 8) | 15
_NFGENMSG_SIZE = 4
_NFTA_GEN_ID = 1
_NFTA_TABLE = 1  # in messages of every kind of object attribute 1 is the name of the table
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

_I32 = struct.Struct("=i")
_U32 = struct.Struct("=I")
_BE32 = struct.Struct(">I")
_DECODING_ERRORS = (struct.error, IndexError)

_RECEIVE_BUFFER = 8 << 20
"""Bytes that may wait in the kernel for each socket; only waiting messages use memory. Flushing a large ruleset makes
thousands of them."""

_READS_PER_TURN = 256
"""Datagrams that are read (in 2 to 3 ms) before other work on the event loop gets its turn."""

_MAX_QUEUED = 4096
"""Different changes that may wait for a slow consumer. Beyond, reading everything is cheaper: LOST replaces them."""

_LOOPBACK = "lo"

_COMMIT_TIMEOUT = 0.002
"""Seconds to wait for the end of a commit's notifications, which the kernel sends without a pause."""


class ChangeQueue:
    """Changes that were not consumed yet, oldest first. Equal changes are merged."""

    def __init__(self) -> None:
        self._changes: dict[tuple[ChangeKind, str], int | None] = {}

    def __bool__(self) -> bool:
        return bool(self._changes)

    def add(self, kind: ChangeKind, subject: str, generation: int | None = None) -> None:
        """Add a change. If an equal one waits already, it keeps its place and gets the newer generation."""
        key = (kind, subject)
        if key in self._changes:
            # A change of unknown generation must be consumed in any case, so the merged one has none either.
            waiting = self._changes[key]
            self._changes[key] = None if waiting is None else generation
        elif len(self._changes) < _MAX_QUEUED:
            self._changes[key] = generation
        else:
            self.add_lost()

    def add_lost(self) -> None:
        """Notifications were lost: anything may have changed. Replaces all other changes."""
        self._changes.clear()
        self._changes[ChangeKind.LOST, ""] = None

    def take(self) -> HostChange:
        """Remove and return the oldest change.

        Raises:
            KeyError: the queue is empty.
        """
        if not self._changes:
            raise KeyError("the queue of changes is empty")
        (kind, subject), generation = next(iter(self._changes.items()))
        del self._changes[kind, subject]
        return HostChange(kind, subject, generation)


class RouteDecoder:
    """Turns rtnetlink notifications into changes: links, IPv6 addresses, routes, and netconf."""

    def __init__(self, queue: ChangeQueue) -> None:
        self._queue = queue
        self._names: dict[int, str] = {}

    def feed(self, datagram: Buffer) -> None:
        """Decode one datagram. A damaged one counts as a loss."""
        try:
            for kind, start, end in messages(datagram):
                self._message(kind, datagram, start, end)
        except _DECODING_ERRORS:
            self._queue.add_lost()

    def reset(self) -> None:
        """Forget the names of interfaces: after a loss, renames may have been missed."""
        self._names.clear()

    def _message(self, kind: int, datagram: Buffer, start: int, end: int) -> None:
        if kind in (_RTM_NEWLINK, _RTM_DELLINK):
            self._link(kind, datagram, start, end)
        elif kind in (_RTM_NEWADDR, _RTM_DELADDR):
            self._address(datagram, start)
        elif kind in (_RTM_NEWROUTE, _RTM_DELROUTE):
            self._route(datagram, start, end)
        elif kind in (_RTM_NEWRULE, _RTM_DELRULE):
            self._queue.add(ChangeKind.ROUTE, "")  # it may concern any route
        elif kind == _RTM_NEWNETCONF:
            self._netconf(datagram, start, end)

    def _name(self, index: int) -> str:
        return interface_name(index, self._names) or ""

    def _link(self, kind: int, datagram: Buffer, start: int, end: int) -> None:
        _, _, index, _, _ = LINK.unpack_from(datagram, start)
        if found := find(datagram, start + LINK.size, end, IFLA_IFNAME):
            self._names[index] = text(datagram, *found)
            self._queue.add(ChangeKind.LINK, self._names[index])
        # A port that leaves its bridge is also notified as a deletion, of the family "bridge". The interface still
        # exists, and its name is then looked up once more. Without this, indices of deleted interfaces would pile up.
        if kind == _RTM_DELLINK:
            self._names.pop(index, None)

    def _address(self, datagram: Buffer, start: int) -> None:
        _, _, _, scope, index = ADDRESS.unpack_from(datagram, start)
        if scope == SCOPE_UNIVERSE:
            self._queue.add(ChangeKind.ADDRESS, self._name(index))

    def _route(self, datagram: Buffer, start: int, end: int) -> None:
        _, length, _, _, table, protocol, _, route_type, _ = ROUTE.unpack_from(datagram, start)
        if is_delegation(length, table, protocol, route_type):
            self._queue.add(ChangeKind.ROUTE, "")  # it may concern everything that follows a prefix
        elif is_rejecting(table, protocol, route_type):
            self._queue.add(ChangeKind.ROUTE, _LOOPBACK)  # as the kernel reports it; a list of bans has many
        if table == RT_TABLE_LOCAL or route_type != RTN_UNICAST:
            return
        indices: list[int] = []
        for attribute, value, stop in attributes(datagram, start + ROUTE.size, end):
            if attribute == RTA_OIF:
                indices.append(_U32.unpack_from(datagram, value)[0])
            elif attribute == RTA_MULTIPATH:
                indices.extend(next_hops(datagram, value, stop))
        for name in [self._name(index) for index in indices] or [""]:
            self._queue.add(ChangeKind.ROUTE, name)

    def _netconf(self, datagram: Buffer, start: int, end: int) -> None:
        if datagram[start] != AF_INET6:
            return
        if found := find(datagram, start + _NETCONF_SIZE, end, _NETCONFA_IFINDEX):
            (index,) = _I32.unpack_from(datagram, found[0])
            self._queue.add(ChangeKind.SYSCTL, self._netconf_name(index))

    def _netconf_name(self, index: int) -> str:
        if index == _NETCONFA_IFINDEX_ALL:
            return "all"
        return "default" if index == _NETCONFA_IFINDEX_DEFAULT else self._name(index)


class FirewallDecoder:
    """Turns nf_tables notifications into changes: the tables that a commit modified.

    The kernel sends one message for each object, after the commit, and NFT_MSG_NEWGEN as the last one. Then each table
    is added once, with the generation of the commit.

    NFT_MSG_NEWGEN also contains the writer's process, but as a thread id in the initial PID namespace, which is useless
    in a container.
    """

    def __init__(self, queue: ChangeQueue) -> None:
        self._queue = queue
        self._modified: dict[bytes, None] = {}  # the family's byte and the table's name, in order

    @property
    def is_commit_open(self) -> bool:
        """Whether objects were received, but not the end of their commit."""
        return bool(self._modified)

    def feed(self, datagram: Buffer) -> None:
        """Decode one datagram. A damaged one counts as a loss."""
        try:
            for kind, start, end in messages(datagram):
                if kind == _NFT_MSG_NEWGEN:
                    self.end_commit(_generation(datagram, start, end))
                elif kind >> 8 == _NFNL_SUBSYS_NFTABLES and (
                    name := find(datagram, start + _NFGENMSG_SIZE, end, _NFTA_TABLE)
                ):
                    self._modified[bytes(datagram[start : start + 1]) + bytes(datagram[slice(*name)])] = None
        except _DECODING_ERRORS:
            self._queue.add_lost()

    def end_commit(self, generation: int | None = None) -> None:
        """Add the modified tables. Without a generation for messages that are not part of a commit.

        The kernel sends such messages, for instance, for a chain that is deleted together with its device.
        """
        for key in self._modified:
            self._queue.add(ChangeKind.FIREWALL, _table_name(key), generation)
        self._modified.clear()

    def reset(self) -> None:
        """Forget an open commit, after a loss."""
        self._modified.clear()


def _generation(datagram: Buffer, start: int, end: int) -> int | None:
    found = find(datagram, start + _NFGENMSG_SIZE, end, _NFTA_GEN_ID)
    return None if found is None else int(_BE32.unpack_from(datagram, found[0])[0])


def _table_name(key: bytes) -> str:
    return f"{_FAMILIES.get(key[0], key[0])} {text(key, 1, len(key))}"


class ChangeFeed:
    """Both sockets on the running event loop, for one consumer."""

    def __init__(self, receive_buffer: int = _RECEIVE_BUFFER) -> None:
        """Subscribe.

        Raises:
            OSError: a socket cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        self._queue = ChangeQueue()
        self._queue.add_lost()
        self._routing = RouteDecoder(self._queue)
        self._firewall = FirewallDecoder(self._queue)
        self._buffer = memoryview(bytearray(RECEIVE_SIZE))
        self._wake = asyncio.Event()
        self._commit_timer: asyncio.TimerHandle | None = None
        self._failure: OSError | None = None
        self._closed = False
        groups = (
            _RTNLGRP_LINK,
            _RTNLGRP_IPV6_IFADDR,
            _RTNLGRP_IPV6_ROUTE,
            _RTNLGRP_IPV6_RULE,
            _RTNLGRP_IPV6_NETCONF,
        )
        self._routing_socket = subscribe(NETLINK_ROUTE, groups, receive_buffer)
        try:
            self._firewall_socket = subscribe(NETLINK_NETFILTER, (_NFNLGRP_NFTABLES,), receive_buffer)
        except OSError:
            self._routing_socket.close()
            raise
        self._loop.add_reader(self._routing_socket, self._read_routing)
        self._loop.add_reader(self._firewall_socket, self._read_firewall)

    async def take(self) -> HostChange | None:
        """Wait for the next change; None once the feed is closed.

        Raises:
            OSError: a socket failed.
        """
        while not self._queue:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        return None if self._closed else self._queue.take()

    def close(self) -> None:
        """Close the sockets and end a waiting `take`."""
        if self._closed:
            return
        self._closed = True
        if self._commit_timer is not None:
            self._commit_timer.cancel()
        for subscription in (self._routing_socket, self._firewall_socket):
            self._loop.remove_reader(subscription)
            subscription.close()
        self._wake.set()

    def _read_routing(self) -> None:
        self._read(self._routing_socket, self._routing.feed, self._routing.reset)

    def _read_firewall(self) -> None:
        self._read(self._firewall_socket, self._firewall.feed, self._firewall.reset)
        if self._commit_timer is not None:
            self._commit_timer.cancel()
            self._commit_timer = None
        if self._firewall.is_commit_open:
            self._commit_timer = self._loop.call_later(_COMMIT_TIMEOUT, self._end_commit)

    def _end_commit(self) -> None:
        self._commit_timer = None
        self._firewall.end_commit()
        self._wake.set()

    def _read(self, source: socket, feed: Callable[[Buffer], None], reset: Callable[[], None]) -> None:
        for _ in range(_READS_PER_TURN):
            try:
                size = source.recv_into(self._buffer)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    self._failure = error
                    self._loop.remove_reader(source)
                    break
                # The kernel dropped notifications (netlink(7)). Those that it queued before can still be read.
                reset()
                self._queue.add_lost()
            else:
                feed(self._buffer[:size])
        if self._queue or self._failure:
            self._wake.set()
