"""Which process has a file or socket open."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_SOCKETS = _PROC / "thread-self/net/netlink"  # of this thread's network namespace; proc_pid_net(5)
_PROTOCOL, _PORT, _INODE = 1, 2, 9  # columns


class Process(NamedTuple):
    """A process, by its number in this PID namespace."""

    pid: int
    name: str  # its command's, as ps shows it; at most 15 bytes


def socket_inode(protocol: int, port: int) -> str | None:
    """The inode of the netlink socket with this port, in this network namespace; None: there is none."""
    with suppress(OSError, IndexError):
        for line in _SOCKETS.read_text().splitlines()[1:]:
            columns = line.split()
            if (columns[_PROTOCOL], columns[_PORT]) == (str(protocol), str(port)):
                return columns[_INODE]
    return None


def process_with(inode: str) -> Process | None:
    """The process that has the socket with this inode; None: it can't be seen from here.

    The port is often the number of the process that opened the socket, but not always, and a number of its PID
    namespace. So all file descriptors are looked at, which needs CAP_SYS_PTRACE.
    """
    link = f"socket:[{inode}]"
    for directory in _PROC.iterdir():
        if directory.name.isdigit():
            with suppress(OSError):  # the process has ended, or is not ours to see
                if link in open_files(directory):
                    return Process(int(directory.name), (directory / "comm").read_text(errors="replace").strip())
    return None


def open_files(directory: Path) -> Iterator[str]:
    """What the file descriptors of a process lead to, without those that are closed meanwhile: proc_pid_fd(5).

    Args:
        directory: the process in /proc.

    Raises:
        OSError: the process has ended, or is not ours to see.
    """
    for descriptor in (directory / "fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(descriptor.readlink())
