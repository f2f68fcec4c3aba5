from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface

import pytest

from dockerv6.hostnet.model import Interface, RouteProtocol
from dockerv6.planning.host.interfaces import (
    advertised_bridges,
    external_interfaces,
    guest_bridges,
    host_addresses,
    host_message,
    uplink_bridges,
)
from dockerv6.planning.inputs import HostView
from tests.unit.planning.scene import host, route

HERE, GONE = IPv6Address("2001:db8::5"), IPv6Address("2001:db8::6")
ETH1 = Interface(3, "eth1", "", up=True, mtu=1500, addresses=(IPv6Interface((HERE, 64)),))
TENTATIVE = replace(ETH1, tentative=frozenset({HERE}))
FAILED = replace(TENTATIVE, dad_failed=frozenset({HERE}))


def test_the_hosts_addresses_have_their_state() -> None:
    both = replace(FAILED, addresses=(*ETH1.addresses, IPv6Interface((GONE, 64))))
    assert [(str(a), bool(why)) for a, why in host_addresses(host(both)).items()] == [
        ("2001:db8::5", True),
        ("2001:db8::6", False),
    ]
    assert host_addresses(host(TENTATIVE)) != host_addresses(host(FAILED))


def test_only_bridges_with_a_default_route_lead_outside() -> None:
    bridges = [Interface(i, name, "bridge", up=True, mtu=1500) for i, name in enumerate(("br0", "docker0"), 7)]
    nic = Interface(5, "eth1", "", up=True, mtu=1500, master=7)
    routes = (route("::/0", "br0", RouteProtocol.RA), route("::/0", "eth0"), route("fd00::/64", "docker0"))
    assert uplink_bridges(host(*bridges, nic, routes=routes)) == ("br0",)
    assert uplink_bridges(host(*bridges, routes=(route("2000::/3", "br0", RouteProtocol.STATIC),))) == ("br0",)


@pytest.mark.parametrize("kinds", [(), ("veth",), ("veth", "veth")])
@pytest.mark.parametrize("to", ["::/0", "2000::/3"])
def test_what_only_containers_advertise_is_no_uplink(kinds: tuple[str, ...], to: str) -> None:
    bridge = Interface(7, "br-x", "bridge", up=True, mtu=1500)
    ports = [Interface(i, f"veth{i}", kind, up=True, mtu=1500, master=7) for i, kind in enumerate(kinds, 20)]
    unknown = host(bridge, *ports, routes=(route(to, "br-x", RouteProtocol.RA),))
    assert uplink_bridges(unknown) == ("br-x",)  # of a host that is a container, the uplink is a veth too
    view = replace(unknown, container_bridges=advertised_bridges(unknown))
    assert uplink_bridges(view) == ()
    assert guest_bridges(view) == ("br-x",)
    assert uplink_bridges(host(bridge, *ports, routes=(route(to, "br-x"),))) == ("br-x",)
    tap = Interface(40, "tap0", "tun", up=True, mtu=1500, master=7)
    assert uplink_bridges(replace(view, interfaces={**view.interfaces, "tap0": tap})) == ("br-x",)


def test_a_good_host_is_described_by_what_is_in_place() -> None:
    assert host_message(HostView()) == "the host forwards IPv6"
    eth1 = Interface(3, "eth1", "", up=True, mtu=1500, autoconfigured=True)
    view = host(eth1, routes=(route("::/0", "eth0", RouteProtocol.RA), route("fd00::/64", "eth0")))
    assert host_message(view, {"eth1", "eth0"}) == (
        "the host forwards IPv6; default route through eth0; router advertisements accepted on eth0, eth1;"
        " NDP proxy on eth0, eth1"
    )
    assert "eth1" not in host_message(replace(view, accept_ra={"eth1": "1"}))


def test_all_bridges_but_those_that_lead_outside_have_guests() -> None:
    bridges = [
        Interface(i, name, "bridge", up=True, mtu=1500) for i, name in enumerate(("br0", "virbr0", "docker0"), 7)
    ]
    assert guest_bridges(host(*bridges, routes=(route("::/0", "br0"),))) == ("docker0", "virbr0")


def test_neither_loopback_nor_guests_nor_ports_are_outward() -> None:
    others = [
        Interface(1, "lo", "", up=True, mtu=65536),
        Interface(3, "eth1", "", up=True, mtu=1500, master=7),
        Interface(7, "br0", "bridge", up=True, mtu=1500),
        Interface(8, "docker0", "bridge", up=True, mtu=1500),
    ]
    assert external_interfaces(host(*others, routes=(route("::/0", "br0"),))) == ("br0", "eth0")
