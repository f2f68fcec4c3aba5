import errno
import socket
import struct

import pytest

from dockerv6.hostnet.lock import ADDRESS, NamespaceInUse, NamespaceLock, namespace_in_use
from dockerv6.hostnet.port import HostNetError
from dockerv6.lib import netlink
from dockerv6.lib.netlink import attribute

OPERATOR, OTHER = 0, 65534


def entry(kind: int, uid: int) -> tuple[bytes, int, int]:
    """A unix_diag_msg of a socket with the address."""
    message = struct.pack("=BBBxIII", socket.AF_UNIX, kind, 7, 1, 0, 0)
    message += attribute(0, ADDRESS.encode()) + attribute(7, struct.pack("=I", uid))
    return message, 0, len(message)


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    class Refused(socket.socket):
        def bind(self, _: object) -> None:
            raise OSError(number, "refused")

    def no_socket(*_: object) -> socket.socket:
        raise OSError(number, "refused")

    monkeypatch.setattr(socket, "socket", Refused if call == "bind" else no_socket)


def list_sockets(monkeypatch: pytest.MonkeyPatch, *found: tuple[bytes, int, int]) -> None:
    monkeypatch.setattr(netlink, "dump", lambda *_: list(found))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_only_a_stream_socket_is_the_lock(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "bind", errno.EADDRINUSE)
    list_sockets(monkeypatch, entry(kind, OTHER), entry(socket.SOCK_STREAM, OPERATOR))
    assert namespace_in_use()
    with pytest.raises(NamespaceInUse):
        NamespaceLock().acquire()
    list_sockets(monkeypatch, entry(kind, OPERATOR), entry(socket.SOCK_STREAM, OTHER))
    assert not namespace_in_use()
    NamespaceLock().acquire()


@pytest.mark.parametrize("call", ["socket", "bind"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE])
def test_another_error_is_not_another_operator(call: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, call, number)
    list_sockets(monkeypatch)
    with pytest.raises(HostNetError, match="@dockerv6, which locks this network namespace: refused") as caught:
        NamespaceLock().acquire()
    assert not isinstance(caught.value, NamespaceInUse)
