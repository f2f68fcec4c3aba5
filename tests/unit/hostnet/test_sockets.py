import errno
import struct
import sys
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from dockerv6.hostnet import sockets
from dockerv6.hostnet.model import Listener
from dockerv6.lib import netlink
from tests.unit.lib.encoding import message

AF_INET6, TCP, UDP = 10, 6, 17
LISTEN, CLOSE = 1 << 10, 1 << 7
ONE = "2001:db8::1"

HEADING = "  sl  local_address                         remote_address                        st tx_queue rx_queue\n"
REST = "00000000:00000000 00:00000000 00000000     0        0 16678232 2 000000002b3ffd55 0\n"
ANY, UNCONNECTED = "::", "00000000000000000000000000000000:0000"
EPS = """\
 ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS
ffff8881 ffff8882 2   10  35   8080      0 19111 2001:0db8:0000:0000:0000:0000:0000:0001 192.0.2.1 \n\
ffff8883 ffff8884 0   10  36   3868   1000 19112 0000:0000:0000:0000:0000:0000:0000:0000 \n\
ffff8885 ffff8886 0   10  37   2905      0 19113 0.0.0.0 \n\
ffff8887 ffff8888 0   10  38   2906      0 19114 \n"""


def written(address: str) -> str:
    packed = IPv6Address(address).packed
    return "".join(f"{int.from_bytes(packed[at : at + 4], sys.byteorder):08X}" for at in range(0, 16, 4))


def table(path: Path, *entries: tuple[str, int, str]) -> Path:
    lines = (
        f"{n:5}: {written(a)}:{port:04X} {UNCONNECTED} {state} {REST}" for n, (a, port, state) in enumerate(entries)
    )
    path.write_text(HEADING + "".join(lines))
    return path


def end(address: str, port: int) -> tuple[bytes, int]:
    return IPv6Address(address).packed, port


Answers = dict[tuple[int, int], list[bytes]]


def diagnosed(address: str, port: int) -> bytes:
    """An inet_diag_msg."""
    head = struct.pack("=BBBB", AF_INET6, 10, 0, 0) + struct.pack(">HH", port, 0)
    return head + IPv6Address(address).packed + bytes(16 + 4 + 8) + bytes(20)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Answers by protocol and states."""
    answers: Answers = {(TCP, LISTEN): [], (UDP, CLOSE): []}

    def dump(protocol: int, kind: int, body: bytes) -> list[tuple[bytes, int, int]]:
        assert (protocol, kind, len(body)) == (4, 20, 56)
        family, transport, extensions, _, states = struct.unpack_from("=BBBBI", body)
        assert (family, extensions, body[8:]) == (AF_INET6, 0, bytes(48))
        datagram = b"".join(message(20, payload) for payload in answers[transport, states])
        return [(datagram, start, end) for _, start, end in netlink.messages(datagram)]

    monkeypatch.setattr(sockets, "dump", dump)
    return answers


def test_listeners_of_all_protocols_are_listed(kernel: Answers, tmp_path: Path) -> None:
    kernel[TCP, LISTEN] = [diagnosed("::", 443), diagnosed(ONE, 80)]
    kernel[UDP, CLOSE] = [diagnosed("::", 443)]
    assert sockets.listeners(tmp_path) == {
        Listener("tcp", IPv6Address("::"), 443),
        Listener("tcp", IPv6Address(ONE), 80),
        Listener("udp", IPv6Address("::"), 443),
    }


def test_ipv4_mapped_addresses_are_left_out(kernel: Answers, tmp_path: Path) -> None:
    kernel[TCP, LISTEN] = [diagnosed("::ffff:192.0.2.1", 80), diagnosed("::ffff:0:0", 80)]
    (tmp_path / "sctp").mkdir()
    (tmp_path / "sctp" / "eps").write_text("heading\na b 0 10 1 80 0 1 0000:0000:0000:0000:0000:ffff:c000:0201\n")
    assert sockets.listeners(tmp_path) == frozenset()


def test_several_sockets_on_one_port_are_one_listener(kernel: Answers, tmp_path: Path) -> None:
    kernel[UDP, CLOSE] = [diagnosed("::", 53)] * 4
    assert sockets.listeners(tmp_path) == {Listener("udp", IPv6Address("::"), 53)}


def test_procfs_is_read_if_the_module_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> list[tuple[bytes, int, int]]:
        raise OSError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(sockets, "dump", refuse)
    table(tmp_path / "tcp6", ("::", 80, "0A"), (ONE, 81, "01"), ("::ffff:192.0.2.1", 82, "0A"))
    table(tmp_path / "udp6", (ONE, 53, "07"), (ONE, 54, "01"))
    assert sockets.listeners(tmp_path) == {
        Listener("tcp", IPv6Address("::"), 80),
        Listener("udp", IPv6Address(ONE), 53),
    }


def test_other_errors_are_raised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> list[tuple[bytes, int, int]]:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(sockets, "dump", refuse)
    with pytest.raises(PermissionError):
        sockets.listeners(tmp_path)


def test_only_sockets_in_the_requested_state_are_listed(tmp_path: Path) -> None:
    tcp6 = table(tmp_path / "tcp6", (ANY, 443, "0A"), ("2001:db8::1", 443, "01"), ("2001:db8::2", 8080, "0A"))
    assert sockets.endpoints_in_state(tcp6, 10) == [end("::", 443), end("2001:db8::2", 8080)]


def test_a_missing_table_is_an_empty_one(tmp_path: Path) -> None:
    assert sockets.endpoints_in_state(tmp_path / "missing", 10) == []
    assert sockets.sctp_endpoints(tmp_path / "missing") == []


def test_a_table_without_entries_is_empty(tmp_path: Path) -> None:
    assert sockets.endpoints_in_state(table(tmp_path / "udp6"), 7) == []


def test_an_sctp_endpoint_has_an_entry_for_each_ipv6_address(tmp_path: Path) -> None:
    eps = tmp_path / "eps"
    eps.write_text(EPS)
    assert sockets.sctp_endpoints(eps) == [end("2001:db8::1", 8080), end("::", 3868)]
