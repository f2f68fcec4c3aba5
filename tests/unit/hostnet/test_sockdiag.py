import errno
import struct
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from dockerv6.hostnet import sockdiag
from dockerv6.hostnet.model import Listener
from dockerv6.lib import netlink
from tests.unit.hostnet.test_procnet import table
from tests.unit.lib.test_netlink import message

AF_INET6, TCP, UDP = 10, 6, 17
LISTEN, CLOSE = 1 << 10, 1 << 7
ONE = "2001:db8::1"

Answers = dict[tuple[int, int], list[bytes]]


def diagnosed(address: str, port: int) -> bytes:
    """An inet_diag_msg."""
    head = struct.pack("=BBBB", AF_INET6, 10, 0, 0) + struct.pack(">HH", port, 0)
    return head + IPv6Address(address).packed + bytes(16 + 4 + 8) + bytes(20)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What it answers to protocol and states."""
    answers: Answers = {(TCP, LISTEN): [], (UDP, CLOSE): []}

    def dump(protocol: int, kind: int, body: bytes) -> list[tuple[bytes, int, int]]:
        assert (protocol, kind, len(body)) == (4, 20, 56)
        family, transport, extensions, _, states = struct.unpack_from("=BBBBI", body)
        assert (family, extensions, body[8:]) == (AF_INET6, 0, bytes(48))
        datagram = b"".join(message(20, payload) for payload in answers[transport, states])
        return [(datagram, start, end) for _, start, end in netlink.messages(datagram)]

    monkeypatch.setattr(sockdiag, "dump", dump)
    return answers


def test_listeners_come_from_each_protocol(kernel: Answers, tmp_path: Path) -> None:
    kernel[TCP, LISTEN] = [diagnosed("::", 443), diagnosed(ONE, 80)]
    kernel[UDP, CLOSE] = [diagnosed("::", 443)]
    assert sockdiag.listeners(tmp_path) == {
        Listener("tcp", IPv6Address("::"), 443),
        Listener("tcp", IPv6Address(ONE), 80),
        Listener("udp", IPv6Address("::"), 443),
    }


def test_sockets_of_ipv4_mapped_addresses_do_not_count(kernel: Answers, tmp_path: Path) -> None:
    kernel[TCP, LISTEN] = [diagnosed("::ffff:192.0.2.1", 80), diagnosed("::ffff:0:0", 80)]
    (tmp_path / "sctp").mkdir()
    (tmp_path / "sctp" / "eps").write_text("heading\na b 0 10 1 80 0 1 0000:0000:0000:0000:0000:ffff:c000:0201\n")
    assert sockdiag.listeners(tmp_path) == frozenset()


def test_several_sockets_on_one_port_are_one_listener(kernel: Answers, tmp_path: Path) -> None:
    kernel[UDP, CLOSE] = [diagnosed("::", 53)] * 4
    assert sockdiag.listeners(tmp_path) == {Listener("udp", IPv6Address("::"), 53)}


def test_without_the_module_the_tables_of_procfs_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> list[tuple[bytes, int, int]]:
        raise OSError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(sockdiag, "dump", refuse)
    table(tmp_path / "tcp6", ("::", 80, "0A"), (ONE, 81, "01"), ("::ffff:192.0.2.1", 82, "0A"))
    table(tmp_path / "udp6", (ONE, 53, "07"), (ONE, 54, "01"))
    assert sockdiag.listeners(tmp_path) == {
        Listener("tcp", IPv6Address("::"), 80),
        Listener("udp", IPv6Address(ONE), 53),
    }


def test_a_refusal_is_no_missing_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> list[tuple[bytes, int, int]]:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(sockdiag, "dump", refuse)
    with pytest.raises(PermissionError):
        sockdiag.listeners(tmp_path)
