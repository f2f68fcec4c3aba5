"""Bridges that others use beside the containers of a Docker network."""

from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.api.traffic import Firewall
from dockerv6.firewall.model import NetworkIntent
from dockerv6.hostnet.model import Interface
from dockerv6.lib.networking import InterfaceName
from dockerv6.planning.firewall.contributions import FirewallContribution, firewall_intent
from dockerv6.planning.host.bridge_ports import not_validated, source_findings
from dockerv6.planning.host.interfaces import other_ports
from dockerv6.planning.inputs import HostView
from tests.unit.planning.scene import foreign, host, route

VALIDATED = Firewall.model_validate({})
LAN = replace(foreign("lan", "2001:db8:5::/64"), options={"com.docker.network.bridge.name": "br0"})
BRIDGE = Interface(9, "br0", "bridge", up=True, mtu=1500, addresses=(IPv6Interface("2001:db8:5::1/64"),))


def port(name: str, kind: str, *, index: int = 20, master: int = 9, link: int | None = None) -> Interface:
    return Interface(index, name, kind, up=True, mtu=1500, master=master, link=link)


CONTAINER = port("veth1", "veth")
STARTING = (port("veth2", "veth", index=21, link=22), Interface(22, "eth0", "veth", up=True, mtu=1500, link=21))
"""A container's veth before the engine moves its other end."""

NESTED = (port("to-lxc", "veth", index=23, link=24), port("lxc-to", "veth", index=24, link=23, master=10))
"""A veth pair between br0 and another bridge."""


def found(view: HostView, firewall: Firewall = VALIDATED) -> list[tuple[str, bool]]:
    return [(each.reason, each.unknown) for each in source_findings(view, firewall, (LAN,))]


def test_a_bridge_with_containers_only_is_validated() -> None:
    for view in (host(), host(BRIDGE), host(BRIDGE, CONTAINER), host(BRIDGE, CONTAINER, *STARTING)):
        assert other_ports(view) == {}
        assert found(view) == []
        assert not_validated(view, LAN) == ""


@pytest.mark.parametrize("kind", ["", "tun", "vxlan", "vlan", "bond", "macvlan", "dummy", "wireguard", "gretap"])
def test_a_port_of_another_kind_ends_the_validation_visibly(kind: str) -> None:
    view = host(BRIDGE, CONTAINER, port("odd 1", kind, index=25))
    assert other_ports(view) == {"br0": ("odd 1",)}
    assert found(view) == [("SourcesNotValidated", True)]
    (finding,) = source_findings(view, VALIDATED, (LAN,))
    assert "bridge br0 of Docker network lan: odd 1" in finding.message
    assert "ip link set 'odd 1' nomaster" in finding.message
    assert found(view, Firewall.model_validate({"sourceValidation": False})) == []


def test_a_veth_pair_between_two_bridges_is_a_port_of_both() -> None:
    other = Interface(10, "lxcbr0", "bridge", up=True, mtu=1500)
    assert other_ports(host(BRIDGE, other, CONTAINER, *NESTED)) == {"br0": ("to-lxc",), "lxcbr0": ("lxc-to",)}


def test_ports_of_a_bond_do_not_count() -> None:
    assert other_ports(host(replace(BRIDGE, kind="bond"), port("eth7", "", index=26))) == {}


def test_a_bridge_with_a_default_route_says_so() -> None:
    view = host(BRIDGE, CONTAINER, routes=(route("::/0", "br0"),))
    assert found(view) == [("SourcesNotValidated", True)]
    assert "the default route leads through it" in not_validated(view, LAN)


def test_another_address_of_the_bridge_does_not_end_the_validation_but_is_visible() -> None:
    addresses = (*BRIDGE.addresses, IPv6Interface("fd42::1/64"))
    view = host(replace(BRIDGE, addresses=addresses), CONTAINER)
    assert found(view) == [("SourcesDropped", True)]
    (finding,) = source_findings(view, VALIDATED, (LAN,))
    assert "fd42::1/64" in finding.message
    assert "ip address del fd42::1/64 dev br0" in finding.message
    assert found(host(replace(BRIDGE, addresses=addresses), CONTAINER, port("eth1", "", index=27))) == [
        ("SourcesNotValidated", True)
    ]


def test_the_rules_of_a_shared_bridge_alone_lack_the_validation() -> None:
    one = NetworkIntent("blog", IPv6Network("fd00:1::/64"), InterfaceName("br0"))
    other = NetworkIntent("shop", IPv6Network("fd00:2::/64"), InterfaceName("br-shop"))
    contributions = (FirewallContribution("blog", (one,)), FirewallContribution("shop", (other,)))
    shared = firewall_intent(contributions, shared_bridges=frozenset({"br0"})).networks
    assert shared == (replace(one, source_validation=False), other)
