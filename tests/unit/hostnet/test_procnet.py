"""Tables as kernels write them, with documentation addresses."""

import sys
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from dockerv6.hostnet.procnet import sctp_endpoints, sockets

HEADING = "  sl  local_address                         remote_address                        st tx_queue rx_queue\n"
REST = "00000000:00000000 00:00000000 00000000     0        0 16678232 2 000000002b3ffd55 0\n"
ANY, NOBODY = "::", "00000000000000000000000000000000:0000"
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
    lines = (f"{n:5}: {written(a)}:{port:04X} {NOBODY} {state} {REST}" for n, (a, port, state) in enumerate(entries))
    path.write_text(HEADING + "".join(lines))
    return path


def end(address: str, port: int) -> tuple[bytes, int]:
    return IPv6Address(address).packed, port


def test_only_sockets_in_the_state_are_listed(tmp_path: Path) -> None:
    tcp6 = table(tmp_path / "tcp6", (ANY, 443, "0A"), ("2001:db8::1", 443, "01"), ("2001:db8::2", 8080, "0A"))
    assert sockets(tcp6, 10) == [end("::", 443), end("2001:db8::2", 8080)]


@pytest.mark.parametrize("missing", [sockets, lambda path, _state: sctp_endpoints(path)])
def test_a_missing_table_is_an_empty_one(tmp_path: Path, missing: object) -> None:
    assert callable(missing)
    assert missing(tmp_path / "nothere", 10) == []


def test_a_table_without_entries_is_empty(tmp_path: Path) -> None:
    assert sockets(table(tmp_path / "udp6"), 7) == []


def test_an_sctp_endpoint_waits_on_each_of_its_ipv6_addresses(tmp_path: Path) -> None:
    eps = tmp_path / "eps"
    eps.write_text(EPS)
    assert sctp_endpoints(eps) == [end("2001:db8::1", 8080), end("::", 3868)]
