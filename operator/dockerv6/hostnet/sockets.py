"""Sockets that wait for IPv6 packets, and connections of TCP. All functions block.

The kernel's sock_diag filters by state, so the thousands of connections of a host are not listed with the sockets that
wait. Procfs replaces it where its modules are missing, and for SCTP, whose diagnostics need a module that few hosts
have.

Sources: sock_diag(7), linux/inet_diag.h; net/ipv4/inet_diag.c and udp_diag.c; proc_pid_net(5); tcp6_seq_show,
udp6_seq_show and sctp_eps_seq_show in the kernel.
"""

import errno
import re
import struct
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path
from socket import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP

from dockerv6.hostnet.model import ContainerSockets, Listener
from dockerv6.lib.netlink import NETLINK_SOCK_DIAG, dump

LocalEndpoint = tuple[bytes, int]
"""An IPv6 address, packed, and a port."""

PROC_NET = Path("/proc/thread-self/net")
"""The network namespace of the calling thread; /proc/net is that of the process's first thread."""

LOCAL_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Of the calling thread's network namespace (net_ctl_root.lookup in net/sysctl_net.c)."""

_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = struct.Struct("=BBxxI48x")  # inet_diag_req_v2: family, protocol, extensions, states; any addresses
_ENDPOINT = struct.Struct(">4xH2x16s")  # inet_diag_msg: (family...), source port, (destination port), source address

TCP_ESTABLISHED = 1
TCP_CLOSE = 7  # net/tcp_states.h; also the state of an unconnected UDP socket
TCP_LISTEN = 10
_WAITING = (("tcp", IPPROTO_TCP, TCP_LISTEN), ("udp", IPPROTO_UDP, TCP_CLOSE))

_NO_SOCK_DIAG = frozenset({errno.ENOENT, errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL})
_IPV4_MAPPED = bytes(10) + b"\xff\xff"  # first bytes of IPv4-mapped addresses (RFC 4291 section 2.5.5.2)

_WORD = 8  # hex digits
_SCTP_PORT = 5  # column in sctp/eps
_SCTP_ADDRESSES = 8  # column of the first address; one more column for each further address


def listeners(proc_net: Path = PROC_NET) -> frozenset[Listener]:
    """Listening TCP sockets, unconnected UDP sockets and SCTP endpoints of IPv6, dual-stack sockets included.

    Args:
        proc_net: the namespace's procfs directory.

    Raises:
        OSError: the kernel's error.
    """
    found = {(protocol, *end) for protocol, end in _endpoints(proc_net) if not end[0].startswith(_IPV4_MAPPED)}
    return frozenset(Listener(protocol, IPv6Address(address), port) for protocol, address, port in found)


def _endpoints(proc_net: Path) -> Iterator[tuple[str, LocalEndpoint]]:
    for protocol, number, state in _WAITING:
        try:
            endpoints = _from_sock_diag(number, state)
        except OSError as error:
            if error.errno not in _NO_SOCK_DIAG:
                raise
            endpoints = endpoints_in_state(proc_net / f"{protocol}6", state)
        yield from ((protocol, endpoint) for endpoint in endpoints)
    yield from (("sctp", endpoint) for endpoint in sctp_endpoints(proc_net / "sctp" / "eps"))


def served_tcp_ports(proc_net: Path = PROC_NET, local_port_range: Path = LOCAL_PORT_RANGE) -> frozenset[int]:
    """The local ports of established TCP connections that are not in the range of outgoing connections.

    Args:
        proc_net: the namespace's procfs directory.
        local_port_range: the namespace's sysctl net.ipv4.ip_local_port_range, which IPv6 uses too.

    Raises:
        OSError: the kernel's error.
    """
    first, last = map(int, local_port_range.read_text(encoding="ascii").split())
    found: set[int] = set()
    for family, table in ((AF_INET, "tcp"), (AF_INET6, "tcp6")):
        try:
            endpoints = _from_sock_diag(IPPROTO_TCP, TCP_ESTABLISHED, family)
        except OSError as error:
            if error.errno not in _NO_SOCK_DIAG:
                raise
            endpoints = endpoints_in_state(proc_net / table, TCP_ESTABLISHED)
        found.update(port for _, port in endpoints)
    return frozenset(port for port in found if not first <= port <= last)


def _from_sock_diag(protocol: int, state: int, family: int = AF_INET6) -> list[LocalEndpoint]:
    """The local endpoints of the sockets of one protocol and family in one state.

    Raises:
        OSError: the kernel's error (ENOENT if the protocol's diagnostics module is missing).
    """
    answer = dump(NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _REQUEST.pack(family, protocol, 1 << state))
    found = (_ENDPOINT.unpack_from(datagram, start) for datagram, start, _ in answer)
    return [(address, port) for port, address in found]


def endpoints_in_state(table: Path, state: int) -> list[LocalEndpoint]:
    """The local endpoints in a procfs table of sockets; none if the table does not exist (no IPv6).

    Args:
        table: tcp6 or udp6 of a /proc/*/net.
        state: as in net/tcp_states.h.

    Raises:
        OSError: the table cannot be read.
    """
    wanted = f"{state:02X}"
    # number of the line, local endpoint, remote endpoint, state
    entries = (line.split(maxsplit=4) for line in _lines(table))
    return [_parse_endpoint(entry[1]) for entry in entries if entry[3] == wanted]


def sctp_endpoints(table: Path) -> list[LocalEndpoint]:
    """The endpoints of waiting SCTP sockets, one for each IPv6 address; none on a kernel without SCTP.

    Args:
        table: sctp/eps of a /proc/*/net, which contains listening sockets only (sctp_hash_endpoint, net/sctp/input.c).

    Raises:
        OSError: the table cannot be read.
    """
    return [
        (IPv6Address(address).packed, int(columns[_SCTP_PORT]))
        for columns in map(str.split, _lines(table))
        for address in columns[_SCTP_ADDRESSES:]
        if ":" in address
    ]


def _lines(table: Path) -> Iterator[str]:
    """All lines but the heading."""
    try:
        with table.open(encoding="ascii") as opened:
            next(opened, None)
            yield from opened
    except FileNotFoundError:
        return


def _parse_endpoint(text: str) -> LocalEndpoint:
    """Parse address:port. The address is four words in host byte order, each of which is in network byte order."""
    address, port = text.split(":")
    words = (int(address[at : at + _WORD], 16) for at in range(0, len(address), _WORD))
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words), int(port, 16)


PROC = Path("/proc")
_ID = re.compile(r"[0-9a-f]{64}")
_WAITING_IN_PROCFS = (("tcp", TCP_LISTEN), ("udp", TCP_CLOSE))
_LOOPBACK_6 = bytes(15) + b"\1"
_LOOPBACK_4 = 127  # first byte
_IPV4 = 4  # bytes


@dataclass(slots=True)
class ContainerProcesses:
    """Reads the sockets that wait in the network namespaces of containers, and remembers a process of each container.

    A container's processes are found by its id, which is the name of their control group with every driver
    (cgroups(7)): their process ids, as the engine has them, may be of another PID namespace. In a container without the
    host's PID namespace, this process does not see them, and nothing is known about their sockets. Procfs shows the
    sockets of each process's network namespace (proc_pid_net(5)) without a privilege; sock_diag would need
    CAP_SYS_ADMIN to enter it.
    """

    proc: Path = PROC
    _pids: dict[str, int] = field(default_factory=dict)
    _sought: frozenset[str] = frozenset()

    def sockets(self, containers: Collection[str]) -> dict[str, ContainerSockets]:
        """The sockets of these containers, by id; without those whose processes can't be seen."""
        wanted = frozenset(containers)
        self._sought &= wanted
        self._pids = {each: pid for each, pid in self._pids.items() if each in wanted and each in self._ids(pid)}
        unknown = wanted - self._pids.keys()
        if unknown and unknown != self._sought:  # what was not seen is not sought again
            self._find(unknown)
            self._sought = wanted - self._pids.keys()
        found = {each: self._read(pid) for each, pid in self._pids.items()}
        return {each: sockets for each, sockets in found.items() if sockets is not None}

    def process(self, container: str) -> int | None:
        """The id of a process of the container in this process's own PID namespace; None: none can be seen."""
        self._find(frozenset((container,)))
        return self._pids.get(container)

    def _find(self, wanted: frozenset[str]) -> None:
        for entry in self.proc.iterdir():
            if entry.name.isdecimal():
                for each in self._ids(int(entry.name)) & wanted:
                    self._pids.setdefault(each, int(entry.name))

    def _ids(self, pid: int) -> frozenset[str]:
        """The ids that end the names of a process's control groups: a container may be inside another one."""
        try:
            lines = (self.proc / str(pid) / "cgroup").read_text(errors="replace").splitlines()
        except OSError:  # it has ended
            return frozenset()
        return frozenset(found[-1] for line in lines if (found := _ID.findall(line)))

    def _read(self, pid: int) -> ContainerSockets | None:
        net = self.proc / str(pid) / "net"
        ipv4: set[tuple[str, int]] = set()
        ipv6: set[tuple[str, int]] = set()
        try:
            for protocol, state in _WAITING_IN_PROCFS:
                ipv4 |= {(protocol, port) for _, port in _reachable(endpoints_in_state(net / protocol, state))}
                for address, port in _reachable(endpoints_in_state(net / f"{protocol}6", state)):
                    (ipv4 if address.startswith(_IPV4_MAPPED) else ipv6).add((protocol, port))
        except (OSError, ValueError, IndexError):  # it has ended, or may not be read
            return None
        return ContainerSockets(frozenset(ipv4), frozenset(ipv6))


def _reachable(endpoints: list[LocalEndpoint]) -> Iterator[LocalEndpoint]:
    """Without those on loopback addresses, which no other host reaches."""
    for address, port in endpoints:
        embedded = address if len(address) == _IPV4 else address[-_IPV4:] if address.startswith(_IPV4_MAPPED) else None
        loopback = address == _LOOPBACK_6 if embedded is None else embedded[0] == _LOOPBACK_4
        if not loopback:
            yield address, port
