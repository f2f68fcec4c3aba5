from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.hostnet.model import Interface, Route, RouteProtocol
from dockerv6.hostnet.uplinks import advertised, ra_disabled_by_forwarding

ETH0 = Interface(2, "eth0", "", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8::2/64"),))
ETH1 = Interface(3, "eth1", "", up=True, mtu=1500)
BRIDGE = Interface(4, "br-1", "bridge", up=True, mtu=1500, addresses=(IPv6Interface("fd00::1/64"),))
DEFAULT = IPv6Network("::/0")


def route(interface: str | None, protocol: RouteProtocol, destination: IPv6Network = DEFAULT) -> Route:
    return Route(destination, interface, protocol, table=254)


def test_a_default_route_from_a_router_makes_an_uplink() -> None:
    routes = [route("eth1", RouteProtocol.RA), route("br-1", RouteProtocol.KERNEL)]
    assert advertised([BRIDGE, ETH1, ETH0], routes) == ("eth1",)


def test_any_route_from_a_router_makes_an_uplink() -> None:
    routes = [route("eth1", RouteProtocol.RA, IPv6Network("2001:db8:1::/48"))]
    assert advertised([ETH0, ETH1], routes) == ("eth1",)


@pytest.mark.parametrize(
    "protocol", [RouteProtocol.STATIC, RouteProtocol.BOOT, RouteProtocol.DHCP, RouteProtocol.OTHER]
)
def test_a_default_route_from_anybody_else_does_not(protocol: RouteProtocol) -> None:
    assert advertised([ETH0], [route("eth0", protocol)]) == ()


def test_an_address_with_a_lifetime_tells_an_uplink_whose_routes_forwarding_has_taken() -> None:
    assert advertised([replace(ETH0, autoconfigured=True), BRIDGE], []) == ("eth0",)


def test_uplinks_come_by_index() -> None:
    routes = [route("eth1", RouteProtocol.RA), route("eth0", RouteProtocol.RA)]
    assert advertised([ETH1, ETH0], routes) == ("eth0", "eth1")


def test_a_member_of_a_bridge_is_none_as_the_bridge_is_it() -> None:
    member = replace(ETH0, master=4)
    routes = [route("eth0", RouteProtocol.RA), route("br-1", RouteProtocol.RA)]
    assert advertised([member, BRIDGE], routes) == ("br-1",)


def test_a_route_to_nowhere_or_to_an_interface_that_went_is_nobodys() -> None:
    assert advertised([ETH0], [route(None, RouteProtocol.RA), route("gone", RouteProtocol.RA)]) == ()


@pytest.mark.parametrize(
    ("accept_ra", "expected"),
    [
        ({"eth0": "1"}, ("eth0",)),
        ({"eth0": "2"}, ()),
        ({"eth0": "0"}, ()),  # a program in user space listens
        ({"eth0": None}, ()),
        ({}, ()),
        ({"eth1": "1", "br-1": "1"}, ()),
    ],
)
def test_only_an_uplink_that_listens_unless_forwarding_would_go_deaf(
    accept_ra: dict[str, str | None], expected: tuple[str, ...]
) -> None:
    assert ra_disabled_by_forwarding([ETH0, ETH1, BRIDGE], [route("eth0", RouteProtocol.RA)], accept_ra) == expected
