import errno
from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.hostnet import sysctl
from dockerv6.hostnet.model import Interface, Route, RouteProtocol, interface_sysctl
from dockerv6.hostnet.port import HostNetError
from dockerv6.hostnet.sysctl import ra_disabled_by_forwarding, ra_interfaces


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv6.conf.all.forwarding", "net/ipv6/conf/all/forwarding"),
        ("net/ipv6/conf/all/forwarding", "net/ipv6/conf/all/forwarding"),
        ("net.ipv6.conf.eth0/100.accept_ra", "net/ipv6/conf/eth0.100/accept_ra"),
        ("net/ipv6/conf/eth0.100/accept_ra", "net/ipv6/conf/eth0.100/accept_ra"),
        ("hostname", "hostname"),
    ],
)
def test_the_first_dot_or_slash_is_the_separator(name: str, path: str) -> None:
    assert sysctl.canonical(name) == path


@pytest.mark.parametrize(
    "name", ["", ".", "/", "..", "a..b", "a//b", "a/../b", "a/./b", "/a", "a/", "a.", ".a", "a./.b", "a/b\0c"]
)
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a sysctl"):
        sysctl.canonical(name)


@given(st.text(alphabet="./ab\0", max_size=12))
def test_every_valid_name_is_inside_proc_sys(name: str) -> None:
    try:
        path = sysctl.canonical(name)
    except ValueError:
        return
    assert Path("/proc/sys", path).resolve().is_relative_to("/proc/sys")
    assert sysctl.canonical(path) == path or "/" not in path


@given(st.text(alphabet="eth0.-_@:", min_size=1, max_size=15).filter(lambda name: name not in (".", "..")))
def test_an_interface_name_is_one_part_of_the_path(interface: str) -> None:
    assert sysctl.canonical(interface_sysctl(interface, "accept_ra")).split("/") == [
        "net",
        "ipv6",
        "conf",
        interface,
        "accept_ra",
    ]


def test_a_value_is_read_without_its_newline(tmp_path: Path) -> None:
    (tmp_path / "range").write_text("1024\t65535\n")
    assert sysctl.read("range", tmp_path) == "1024\t65535"


def test_a_directory_is_not_a_sysctl(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    assert sysctl.read("net", tmp_path) is None
    with pytest.raises(HostNetError, match="no such key"):
        sysctl.write("net", "1", tmp_path)


def test_writing_a_missing_key_creates_no_file(tmp_path: Path) -> None:
    with pytest.raises(HostNetError, match="no such key"):
        sysctl.write("absent", "1", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_remedy_for_a_read_only_mount_names_the_container_and_the_unit_option() -> None:
    remedy = sysctl.remedy(errno.EROFS, 0)
    assert "systempaths=unconfined" in remedy
    assert "ProtectKernelTunables=no" in remedy


def test_the_remedy_depends_on_the_user() -> None:
    assert sysctl.remedy(errno.EACCES, 1000) == "run as root"
    assert "CAP_NET_ADMIN" in sysctl.remedy(errno.EPERM, 0)


ETH0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8::2/64"),))
ETH1 = Interface(3, "eth1", "", up=True, mtu=1500)
BRIDGE = Interface(4, "br-1", "bridge", up=True, mtu=1500, addresses=(IPv6Interface("fd00::1/64"),))
DEFAULT = IPv6Network("::/0")


def route(interface: str | None, protocol: RouteProtocol, destination: IPv6Network = DEFAULT) -> Route:
    return Route(destination, interface, protocol, table=254)


def test_a_default_route_from_an_advertisement_marks_its_interface() -> None:
    routes = [route("eth1", RouteProtocol.RA), route("br-1", RouteProtocol.KERNEL)]
    assert ra_interfaces([BRIDGE, ETH1, ETH0], routes) == ("eth1",)


def test_any_route_from_an_advertisement_marks_its_interface() -> None:
    routes = [route("eth1", RouteProtocol.RA, IPv6Network("2001:db8:1::/48"))]
    assert ra_interfaces([ETH0, ETH1], routes) == ("eth1",)


@pytest.mark.parametrize(
    "protocol", [RouteProtocol.STATIC, RouteProtocol.BOOT, RouteProtocol.DHCP, RouteProtocol.OTHER]
)
def test_a_default_route_of_another_origin_does_not(protocol: RouteProtocol) -> None:
    assert ra_interfaces([ETH0], [route("eth0", protocol)]) == ()


def test_an_autoconfigured_address_marks_its_interface_after_forwarding_has_deleted_the_routes() -> None:
    assert ra_interfaces([replace(ETH0, autoconfigured=True), BRIDGE], []) == ("eth0",)


def test_ra_interfaces_are_ordered_by_index() -> None:
    routes = [route("eth1", RouteProtocol.RA), route("eth0", RouteProtocol.RA)]
    assert ra_interfaces([ETH1, ETH0], routes) == ("eth0", "eth1")


def test_a_bridge_is_an_ra_interface_and_its_members_are_not() -> None:
    member = replace(ETH0, master=4)
    routes = [route("eth0", RouteProtocol.RA), route("br-1", RouteProtocol.RA)]
    assert ra_interfaces([member, BRIDGE], routes) == ("br-1",)


def test_a_route_without_an_interface_or_of_a_removed_one_marks_none() -> None:
    assert ra_interfaces([ETH0], [route(None, RouteProtocol.RA), route("gone", RouteProtocol.RA)]) == ()


@pytest.mark.parametrize(
    ("accept_ra", "expected"),
    [
        ({"eth0": "1"}, ("eth0",)),
        ({"eth0": "2"}, ()),
        ({"eth0": "0"}, ()),  # a program in user space processes advertisements
        ({"eth0": None}, ()),
        ({}, ()),
        ({"eth1": "1", "br-1": "1"}, ()),
    ],
)
def test_forwarding_disables_advertisements_only_where_accept_ra_is_1(
    accept_ra: dict[str, str | None], expected: tuple[str, ...]
) -> None:
    assert ra_disabled_by_forwarding([ETH0, ETH1, BRIDGE], [route("eth0", RouteProtocol.RA)], accept_ra) == expected
