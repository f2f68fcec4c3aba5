from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd.model import Network, SubnetConfig
from dockerv6.firewall.model import Ingress, PortIntent
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.firewall.contributions import (
    firewall_intent,
    ipv6_subnets,
    network_contribution,
    policy_contribution,
)
from dockerv6.planning.firewall.port_assignment import PortAssignment
from dockerv6.planning.firewall.port_claims import PublishingNetwork
from tests.simulation.resources import network, policy
from tests.unit.planning.scene import PUBLIC, SUBNET, foreign, live


class TestPublishingNetworks:
    def publishing(self, there: Network, **publish: object) -> PublishingNetwork:
        (found,) = network_contribution(network("blog", publish=publish), SUBNET, (there,)).publishing_networks
        return found

    def test_a_network_that_runs_is_where_ports_lead(self) -> None:
        found = self.publishing(live())
        assert (found.owner, found.network_name, found.gateway) == ("blog", "blog", SUBNET[1])
        assert found.host_address is None

    def test_one_that_is_not_there_yet_or_is_internal_has_none(self) -> None:
        assert network_contribution(network(), SUBNET, ()).publishing_networks == ()
        assert (
            network_contribution(network(internal=True), SUBNET, (replace(live(), internal=True),)).publishing_networks
            == ()
        )

    def test_ports_bind_to_the_address_of_the_resource(self) -> None:
        assert self.publishing(live(), hostAddress="2001:db8::1").host_address == IPv6Address("2001:db8::1")


class TestPortsOfRoutedNetworks:
    """They are open on the container's own address too."""

    HTTP = PortIntent("blog", TransportProtocol.TCP, 8080, SUBNET[5], 80)

    def ingress(self, *ports: PortIntent, **spec: object) -> tuple[Ingress, ...]:
        want = network("blog", **{"egress": {"mode": "Routed"}, **spec})
        there = replace(live(), internal=want.spec.internal)
        whole = firewall_intent([network_contribution(want, SUBNET, (there,))], port_assignment=PortAssignment(ports))
        assert whole.ports == ports
        return whole.networks[0].ingress

    def test_the_containers_own_port_is_open(self) -> None:
        assert self.ingress(self.HTTP) == (Ingress((), (IPv6Network(SUBNET[5]),), ((TransportProtocol.TCP, 80),)),)

    def test_only_clients_that_may_use_the_port_are_accepted(self) -> None:
        office = (IPv6Network("2001:db8:9::/48"),)
        (found,) = self.ingress(replace(self.HTTP, sources=office))
        assert found.sources == office

    def test_a_port_of_one_address_of_the_host_is_that_addresss_alone(self) -> None:
        assert self.ingress(replace(self.HTTP, host_address=IPv6Address("2001:db8::1"))) == ()

    def test_a_port_of_another_owner_is_not_its(self) -> None:
        assert self.ingress(replace(self.HTTP, owner="shop")) == ()

    def test_a_port_that_leads_to_another_of_the_owners_networks_is_not_this_ones(self) -> None:
        assert self.ingress(replace(self.HTTP, target=PUBLIC[5])) == ()

    def test_it_comes_on_top_of_what_the_firewall_lets_in(self) -> None:
        found = self.ingress(self.HTTP, firewall={"ingress": [{"ports": [{"port": 22}]}]})
        assert [i.ports for i in found] == [((TransportProtocol.TCP, 22),), ((TransportProtocol.TCP, 80),)]

    def test_every_port_of_a_container_is_open(self) -> None:
        dns = PortIntent("blog", TransportProtocol.UDP, 53, SUBNET[5], 53)
        assert [i.ports for i in self.ingress(self.HTTP, dns)] == [
            ((TransportProtocol.TCP, 80),),
            ((TransportProtocol.UDP, 53),),
        ]

    @pytest.mark.parametrize(
        "egress", [{}, {"mode": "None"}, {"mode": "PrefixTranslation", "prefix": "2001:db8:100::/48"}], ids=str
    )
    def test_other_networks_containers_are_reached_through_the_host_alone(self, egress: dict[str, object]) -> None:
        assert self.ingress(self.HTTP, egress=egress) == ()

    def test_so_are_those_of_policies_that_route(self) -> None:
        there = foreign("shop", "2001:db8:5:1::/64")
        routed = policy_contribution(policy("all", egress={"mode": "Routed"}), (there,))
        port = PortIntent("policy/all", TransportProtocol.TCP, 80, PUBLIC[5], 80)
        (found,) = firewall_intent([routed], port_assignment=PortAssignment((port,))).networks
        assert [i.targets for i in found.ingress] == [(IPv6Network(PUBLIC[5]),)]


@pytest.mark.parametrize(
    ("subnet", "gateway"), [("fd98::8/126", "fd98::9"), ("fd98::8/127", "fd98::9"), ("fd98::8/128", None)]
)
def test_a_network_without_a_gateway_in_its_configuration_has_the_first_address(
    subnet: str, gateway: str | None
) -> None:
    ((_, found),) = ipv6_subnets(replace(foreign("tiny"), ipam=(SubnetConfig(IPv6Network(subnet)),)))
    assert found == (IPv6Address(gateway) if gateway is not None else None)
