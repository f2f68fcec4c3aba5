"""The flows that stand for the networks and ports of our table."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.firewall.model import FirewallIntent, Ingress, NetworkIntent, PortIntent
from dockerv6.firewall.render import render
from dockerv6.firewall.walk.flows import PORTS, representative_flows
from dockerv6.firewall.walk.packet import INTERNET, Flow, Link, Paths
from dockerv6.lib.networking import EgressMode, InterfaceName, TransportProtocol

HERE, OTHER = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::7")
A = NetworkIntent("a", IPv6Network("fd12::/64"), InterfaceName("br-a"))
PATHS = Paths(
    {"lo": Link("lo", 1), "eth0": Link("eth0", 2), "wg0": Link("wg0", 3), "br-a": Link("br-a", 4, "bridge")},
    (
        (IPv6Network("::/0"), "eth0"),
        (IPv6Network("2001:db8:9::/48"), "wg0"),
        (IPv6Network("fd12::/64"), "br-a"),
    ),
    {IPv6Address("::1"): "lo", HERE: "eth0", IPv6Address("fd12::1"): "br-a"},
)
WEB = PortIntent("a", TransportProtocol.TCP, 8080, IPv6Address("fd12::5"), 80)


def flows(network: NetworkIntent = A, *ports: PortIntent, paths: Paths = PATHS) -> tuple[Flow, ...]:
    return representative_flows(render(FirewallIntent((network,), ports=ports)), paths)


def ends(found: tuple[Flow, ...]) -> list[tuple[str, str, str, int]]:
    return [(each.iif, str(each.source), str(each.destination), each.port) for each in found]


def test_containers_reach_the_internet_by_the_default_route() -> None:
    assert ends(flows()) == [("br-a", "fd12::2", str(INTERNET), 443)]
    assert ends(flows(replace(A, egress=EgressMode.ROUTED))) == ends(flows())


def test_a_running_container_stands_for_a_network_without_published_ports() -> None:
    """An engine has rules for single containers."""
    there = replace(PATHS, containers=frozenset(map(IPv6Address, ("fd12::9", "fd12::7", "fd99::1"))))
    assert ends(flows(paths=there))[0][1] == "fd12::7"
    assert ends(flows(A, WEB, paths=there))[0][1] == "fd12::5"
    elsewhere = replace(PATHS, containers=frozenset({IPv6Address("fd99::1")}))
    assert ends(flows(paths=elsewhere)) == ends(flows())


def test_egress_interfaces_are_followed_each() -> None:
    pinned = replace(A, egress_interfaces=(InterfaceName("eth0"), InterfaceName("wg0"), InterfaceName("gone")))
    assert ends(flows(pinned)) == [
        ("br-a", "fd12::2", str(INTERNET), 443),
        ("br-a", "fd12::2", "2001:db8:9:ffff:ffff:ffff:ffff:ffff", 443),
    ]


@pytest.mark.parametrize(
    "without",
    [
        {"network": replace(A, internal=True)},
        {"network": replace(A, egress=EgressMode.NONE)},
        {"network": replace(A, bridge=InterfaceName("br-b"))},
        {"paths": replace(PATHS, routes=())},
    ],
    ids=["internal", "no egress", "no bridge yet", "no route"],
)
def test_what_is_not_let_out_has_no_flow(without: dict[str, object]) -> None:
    assert flows(**without) == ()  # type: ignore[arg-type]


def test_a_published_port_is_reached_from_outside_and_from_the_host() -> None:
    assert ends(flows(A, WEB))[1:] == [
        ("eth0", str(INTERNET), str(HERE), 8080),
        ("", str(HERE), str(HERE), 8080),
    ]
    assert flows(A, WEB)[0].source == WEB.target


def test_a_port_with_an_allow_list_is_reached_by_a_client_of_it() -> None:
    listed = replace(WEB, sources=(IPv6Network("2001:db8:9::/48"),))
    assert ends(flows(A, listed))[1:] == []  # wg0 has no address of the host
    listed = replace(WEB, sources=(IPv6Network("2001:db8:5::/48"),))
    assert ends(flows(A, listed))[1:] == [("eth0", "2001:db8:5::1", str(HERE), 8080)]


def test_a_bound_port_needs_the_address() -> None:
    assert len(flows(A, replace(WEB, host_address=HERE))) == 3
    assert len(flows(A, replace(WEB, host_address=OTHER))) == 1


def test_not_every_port_is_followed() -> None:
    ports = (replace(WEB, port=port) for port in range(1000, 1100))
    assert len(flows(A, *ports)) == 1 + 2 * PORTS


def test_what_may_come_in_is_followed() -> None:
    allow = Ingress((IPv6Network("2001:db8:5::/48"),), (), ((TransportProtocol.UDP, 53),))
    routed = replace(A, egress=EgressMode.ROUTED, ingress=(allow, Ingress()))
    assert ends(flows(routed))[1:] == [
        ("eth0", str(INTERNET), "fd12::2", 443),
        ("eth0", "2001:db8:5::1", "fd12::2", 53),
    ]


def test_a_translated_network_is_reached_by_its_external_addresses() -> None:
    external = IPv6Network("2001:db8:7::/64")
    home = replace(A, egress=EgressMode.PREFIX_TRANSLATION, external_prefixes=(external,), ingress=(Ingress(),))
    assert ends(flows(home))[1:] == [("eth0", str(INTERNET), "2001:db8:7::2", 443)]
    on_link = replace(home, external_addresses=(external[9],))  # no container's that is known
    assert ends(flows(on_link))[1:] == []


def test_a_bridge_without_its_route_has_no_flow() -> None:
    assert flows(paths=replace(PATHS, routes=PATHS.routes[:1])) == ()


def test_bridged_packets_are_followed_where_the_filters_see_them() -> None:
    seen = replace(PATHS, bridge_filtered=frozenset({"br-a"}))
    assert [each.bridged for each in flows(paths=seen)] == [False, True]
    assert [each.bridged for each in flows(replace(A, icc=False), paths=seen)] == [False]
