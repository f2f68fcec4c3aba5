"""Sockets that wait in the network namespaces of containers. Blocks.

A container's processes are found by its id, which is the name of their control group with every driver (cgroups(7)):
their process ids, as the engine has them, may be of another PID namespace. In a container without the host's PID
namespace, this process does not see them, and nothing is known about their sockets. Procfs shows the sockets of each
process's network namespace (proc_pid_net(5)) without a privilege; sock_diag would need CAP_SYS_ADMIN to enter it.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dockerv6.hostnet.model import ContainerSockets
from dockerv6.hostnet.sockets import TCP_CLOSE, TCP_LISTEN, LocalEndpoint, endpoints_in_state

PROC = Path("/proc")
_ID = re.compile(r"[0-9a-f]{64}")
_WAITING = (("tcp", TCP_LISTEN), ("udp", TCP_CLOSE))
_MAPPED = bytes(10) + b"\xff\xff"
_LOOPBACK_6 = bytes(15) + b"\1"
_LOOPBACK_4 = 127  # first byte
_IPV4 = 4  # bytes


@dataclass(slots=True)
class ContainerProcesses:
    """Reads the sockets of containers, and remembers a process of each."""

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
            for protocol, state in _WAITING:
                ipv4 |= {(protocol, port) for _, port in _reachable(endpoints_in_state(net / protocol, state))}
                for address, port in _reachable(endpoints_in_state(net / f"{protocol}6", state)):
                    (ipv4 if address.startswith(_MAPPED) else ipv6).add((protocol, port))
        except (OSError, ValueError, IndexError):  # it has ended, or may not be read
            return None
        return ContainerSockets(frozenset(ipv4), frozenset(ipv6))


def _reachable(endpoints: list[LocalEndpoint]) -> Iterator[LocalEndpoint]:
    """Without those on loopback addresses, which no other host reaches."""
    for address, port in endpoints:
        embedded = address if len(address) == _IPV4 else address[-_IPV4:] if address.startswith(_MAPPED) else None
        loopback = address == _LOOPBACK_6 if embedded is None else embedded[0] == _LOOPBACK_4
        if not loopback:
            yield address, port
