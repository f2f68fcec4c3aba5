"""Targets as a user may write them, and the files of the system that name others."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.probe.packets import dns_query
from dockerv6.probe.targets import ProbeTarget, nameservers, next_hops, parse_target

if TYPE_CHECKING:
    from pathlib import Path

_ADDRESS = IPv6Address("2001:db8::1")


@pytest.mark.parametrize(
    ("text", "host", "address", "port"),
    [
        ("2001:db8::1", "2001:db8::1", _ADDRESS, None),
        ("[2001:db8::1]", "2001:db8::1", _ADDRESS, None),
        ("[2001:db8::1]:443", "2001:db8::1", _ADDRESS, 443),
        ("www.example.org", "www.example.org", None, None),
        ("www.example.org:80", "www.example.org", None, 80),
        ("nas", "nas", None, None),
    ],
)
def test_a_target_is_a_host_with_or_without_a_port(
    text: str, host: str, address: IPv6Address | None, port: int | None
) -> None:
    assert parse_target(text) == ProbeTarget(host, address, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":80", "www:", "www:0", "www:65536", "www:http", "www:²", "[2001:db8::1]:", "[www]:80", "[::1"),
        *("192.0.2.1", "192.0.2.1:80", "10", "1.2", "fe80::1", "fe80::1%eth0", "::", "ff02::1", "a..b", "a b", "-x/y"),
        *("::1", "[::1]:80", "::ffff:192.0.2.1", "2001:db8::1%eth0", "[2001:db8::1%eth0]:80"),
        *("http://www.example.org", "www.example.org/path", "a" * 64, ".".join(["a" * 63] * 5), "www:" + "9" * 5000),
        "[2001:db8::1]:0000019999999",
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"port|host"):
        parse_target(text)


@given(st.text(max_size=40))
def test_what_is_accepted_can_be_asked_for(text: str) -> None:
    try:
        target = parse_target(text)
    except ValueError as error:
        assert repr(text) in str(error)  # noqa: PT017 - most texts are refused
        return
    assert target.port is None or 0 < target.port < 1 << 16
    if target.address is None:
        dns_query(1, target.host)


def test_routers_are_those_of_default_routes_whatever_the_names_of_interfaces(tmp_path: Path) -> None:
    table = tmp_path / "ipv6_route"
    zero = "0" * 32
    rows = [
        f"{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0",
        f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo",
        f"20010db8000000000000000000000000 40 {zero} 00 20010db8000000000000000000000001 0 1 0 3 eth0",
    ]
    more = f"{zero} 00 {zero} 00 fe800000000000000000000000000002 00000400 00000001 00000000 00000003 ".encode()
    names = (b"\xc3\xa9th0", b"\xff", "wan\u2028".encode(), b"wan\x85")
    table.write_bytes("\n".join(rows).encode() + b"".join(b"\n" + more + name for name in names) + b"\n")
    assert list(next_hops(table)) == [IPv6Address("fe80::1"), *[IPv6Address("fe80::2")] * len(names)]


def test_nameservers_are_read_as_resolvers_read_them(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# nameserver 192.0.2.9\nnameserver 192.0.2.1\nnameserver nonsense\nnameserver 2001:db8::1 # x\n")
    assert nameservers(file) == (IPv4Address("192.0.2.1"), _ADDRESS)
    file.write_bytes(b"# \xff\nnameserver\nnameserver\tfe80::1%w\xc3\xa9\n")
    assert nameservers(file) == (IPv6Address("fe80::1%w\u00e9"),)
    assert nameservers(tmp_path / "missing") == ()
