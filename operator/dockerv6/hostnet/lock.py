"""The lock of a network namespace: one operator at a time manages its rules.

The table, the sysctls and the NDP proxy entries belong to the network namespace, whatever state directory an operator
has. Two operators in one namespace would take each other's rules away. The lock is an abstract socket (unix(7)): it
exists once per network namespace, containers that share the namespace see it, and the kernel removes it with its
process.
"""

import errno
import logging
import os
import socket
import struct
from typing import Self

from dockerv6.hostnet.port import HostNetError
from dockerv6.lib import netlink
from dockerv6.lib.netlink import NETLINK_SOCK_DIAG

logger = logging.getLogger(__name__)

ADDRESS = "\0dockerv6"
"""The socket's address, as Python writes an abstract one."""

_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = struct.Struct("=BBxxIIIII")  # unix_diag_req: family, protocol, states, inode, what to show, cookie
_TYPE = 1  # offset in a unix_diag_msg
_MESSAGE_SIZE = 16  # unix_diag_msg: family, type, state, inode, cookie
_ANY = 0xFFFF_FFFF
_SHOW_NAME, _SHOW_UID = 0x01, 0x40  # linux/unix_diag.h; the uid since Linux 5.3
_NAME, _UID = 0, 7  # attributes
_UID_VALUE = struct.Struct("=I")


class NamespaceInUse(HostNetError):  # noqa: N818 - named for the condition
    """Another operator manages this network namespace."""

    def __init__(self) -> None:
        super().__init__(
            "another dockerv6 manages the rules of this network namespace, with another state directory;"
            " stop it first: `ss -xap | grep @dockerv6` shows its process"
        )


class NamespaceLock:
    """The lock of the caller's network namespace, from `acquire` to `release` or for a with block."""

    def __init__(self) -> None:
        """Take nothing yet."""
        self._socket: socket.socket | None = None

    def acquire(self) -> None:
        """Take the lock.

        Every local user may bind an abstract address, so a socket of a user who could not run an operator counts for
        nothing: it is logged, and there is no lock.

        Raises:
            NamespaceInUse: another operator has the lock.
            HostNetError: the kernel refuses the socket.
        """
        try:
            self._socket = _bound()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                message = f"can't bind the socket @dockerv6, which locks this network namespace: {error.strerror}"
                raise HostNetError(message) from error
            uid = _uid_of_holder()
            if uid is None or _may_run_operators(uid):
                raise NamespaceInUse from error
            logger.warning("user id %d occupies the socket @dockerv6, by which operators detect each other", uid)

    def release(self) -> None:
        """Release the lock; releasing again is success."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _bound() -> socket.socket:
    """A stream socket that has the address. Raises `OSError`."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        lock.bind(ADDRESS)
    except OSError:
        lock.close()
        raise
    return lock


def namespace_in_use() -> bool:
    """Whether an operator manages the caller's network namespace. It takes no lock, so it prevents no start."""
    uid = _uid_of_holder()
    return uid is not None and _may_run_operators(uid)


def _may_run_operators(uid: int) -> bool:
    return uid in {0, os.geteuid()}


def _uid_of_holder() -> int | None:
    """The user id of the stream socket that has the address. None: it is gone, or the kernel does not report it.

    A socket of another type may have the same address beside it (unix_find_socket_byname, net/unix/af_unix.c).
    """
    request = _REQUEST.pack(socket.AF_UNIX, 0, _ANY, 0, _SHOW_NAME | _SHOW_UID, _ANY, _ANY)
    try:
        sockets = netlink.dump(NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, request)
    except OSError:
        return None
    for datagram, start, end in sockets:
        if datagram[start + _TYPE] != socket.SOCK_STREAM:
            continue
        found = netlink.pick(datagram, start + _MESSAGE_SIZE, end, (_NAME, _UID))
        if _NAME in found and datagram[slice(*found[_NAME])] == ADDRESS.encode():
            return int(_UID_VALUE.unpack_from(datagram, found[_UID][0])[0]) if _UID in found else None
    return None
