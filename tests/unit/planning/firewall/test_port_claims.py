"""Which ports of the host containers and resources ask for."""

from dataclasses import replace
from ipaddress import IPv6Address
from typing import ClassVar

import pytest

from dockerv6.api.traffic import Publish
from dockerv6.dockerd.model import Container, PortBinding
from dockerv6.planning.firewall.port_claims import (
    PortClaim,
    PublishingNetwork,
    from_containers,
    has_labels,
    matches_container,
    own_ports,
)
from dockerv6.planning.plan import Finding
from tests.simulation.resources import network
from tests.unit.planning.scene import SUBNET, binding, end, foreign, live, running

HERE = live()
OTHER = foreign("other", "fd99::/64")
HOST = IPv6Address("2001:db8::1")


def publishing(
    of: object = HERE, owner: str = "blog", host: IPv6Address | None = None, **publish: object
) -> PublishingNetwork:
    block = network(publish=publish).spec.publish if publish else Publish.model_validate({})
    return PublishingNetwork(owner, of.id, of.name, block, None, host)  # type: ignore[attr-defined]


def asked(*bindings: PortBinding, place: PublishingNetwork | None = None) -> list[tuple[str, int, str | None, int]]:
    """What a container with these bindings claims: protocol, port, address, target port."""
    there = place or publishing()
    web = running("web", end(HERE, SUBNET[5]), ports=bindings)
    found = from_containers({there.network_id: there}, (web,))
    return [(c.protocol, c.port, str(c.host_address) if c.host_address else None, c.target_port) for c in found]


class TestFromContainers:
    @pytest.mark.parametrize(
        ("at", "where"),
        [
            ("::", None),
            ("0.0.0.0", None),
            (None, None),
            ("2001:db8::1", "2001:db8::1"),
            ("::1", "::1"),
        ],
        ids=str,
    )
    def test_an_address_that_is_not_ipv4_alone_is_open_over_ipv6(self, at: str | None, where: str | None) -> None:
        assert asked(binding(8080, at=at)) == [("tcp", 8080, where, 80)]

    @pytest.mark.parametrize("at", ["127.0.0.1", "192.0.2.1"])
    def test_an_ipv4_address_is_meant_for_ipv4_alone(self, at: str) -> None:
        assert asked(binding(8080, at=at)) == []

    def test_ipv4_wildcard_that_a_person_wrote_is_meant_for_ipv4_alone_unless_the_resource_says_so(self) -> None:
        written = replace(binding(8080, at="0.0.0.0"), ipv4_only=True)
        assert asked(written) == []
        assert asked(written, binding(8081)) == [("tcp", 8081, None, 80)]
        assert asked(written, place=publishing(ipv4Wildcard="Both")) == [("tcp", 8080, None, 80)]

    def test_the_two_anys_that_the_engine_shows_are_one_claim(self) -> None:
        assert asked(binding(8080, at="0.0.0.0"), binding(8080)) == [("tcp", 8080, None, 80)]

    def test_a_range_is_a_claim_for_each_port(self) -> None:
        found = asked(*(binding(9000 + i, 90 + i) for i in range(3)))
        assert found == [("tcp", 9000 + i, None, 90 + i) for i in range(3)]

    def test_a_port_that_the_engine_chose_is_claimed_as_it_is(self) -> None:
        assert asked(binding(32768, at="0.0.0.0"), binding(32768)) == [("tcp", 32768, None, 80)]

    def test_protocols_are_distinguished(self) -> None:
        found = asked(*(binding(53, 53, protocol=p) for p in ("tcp", "udp", "sctp")))
        assert [p for p, *_ in found] == ["tcp", "udp", "sctp"]

    def test_everywhere_is_there_too(self) -> None:
        assert asked(binding(8080, at="2001:db8::1"), binding(8080)) == [("tcp", 8080, None, 80)]

    def test_several_addresses_are_several_claims(self) -> None:
        found = asked(binding(8080, at="2001:db8::1"), binding(8080, at="::1"))
        assert [address for _, _, address, _ in found] == ["2001:db8::1", "::1"]

    def test_ipv6_follows_the_port_that_the_engine_chose_for_it(self) -> None:
        random = (binding(32771, at="0.0.0.0"), binding(32770), binding(32770, 81, at="0.0.0.0"), binding(32772, 81))
        assert asked(*random) == [("tcp", 32770, None, 80), ("tcp", 32772, None, 81)]

    def test_ports_for_ipv4_beside_one_for_both_are_open_over_ipv6_too(self) -> None:
        found = asked(binding(8080, at="0.0.0.0"), binding(8080), binding(8081, at="0.0.0.0"))
        assert [port for _, port, _, _ in found] == [8080, 8081]

    def test_the_resources_address_is_for_those_that_name_none(self) -> None:
        found = asked(binding(1), binding(2, at="::1"), binding(3, 83, at="0.0.0.0"), place=publishing(host=HOST))
        assert [(port, address) for _, port, address, _ in found] == [(1, str(HOST)), (2, "::1"), (3, str(HOST))]

    def test_a_resource_can_want_none_of_them(self) -> None:
        assert asked(binding(8080), place=publishing(fromContainers=False)) == []

    def test_containers_of_other_networks_ask_for_nothing(self) -> None:
        web = running("web", end(OTHER, "fd99::5"), ports=(binding(80),))
        assert list(from_containers({HERE.id: publishing()}, (web,))) == []

    def test_one_without_an_address_yet_is_claimed_for_without_one(self) -> None:
        (claim,) = from_containers({HERE.id: publishing()}, (running("web", end(HERE, None), ports=(binding(80),)),))
        assert claim.address is None


class TestSeveralNetworks:
    """The replies of a container leave through the network of its default route."""

    BOTH: ClassVar = {HERE.id: publishing(), OTHER.id: publishing(OTHER, "else")}

    def network_of(self, here: Container) -> str:
        (claim,) = from_containers(self.BOTH, (here,))
        return claim.network

    def test_the_first_by_name_leads(self) -> None:
        web = running("web", end(OTHER, "fd99::5"), end(HERE, SUBNET[5]), ports=(binding(80),))
        assert self.network_of(web) == HERE.name < OTHER.name

    def test_a_gateway_priority_goes_before_the_name(self) -> None:
        web = running("web", end(HERE, SUBNET[5]), end(OTHER, "fd99::5", 1), ports=(binding(80),))
        assert self.network_of(web) == OTHER.name

    def test_one_without_an_ipv6_address_does_not_lead(self) -> None:
        web = running("web", end(HERE, None, 5), end(OTHER, "fd99::5"), ports=(binding(80),))
        assert self.network_of(web) == OTHER.name

    def test_one_whose_resource_wants_none_is_passed_over(self) -> None:
        networks = {HERE.id: publishing(fromContainers=False), OTHER.id: publishing(OTHER, "else")}
        web = running("web", end(HERE, SUBNET[5]), end(OTHER, "fd99::5"), ports=(binding(80),))
        (claim,) = from_containers(networks, (web,))
        assert claim.owner == "else"


def own(*containers: Container, **port: object) -> PortClaim | Finding:
    return own_at(publishing(ports=[{"port": 8080, "containers": {"name": "web"}, **port}]), *containers)


def own_at(place: PublishingNetwork, *containers: Container) -> PortClaim | Finding:
    (found,) = own_ports((place,), containers)
    return found if isinstance(found, PortClaim) else found[1]


class TestOwnPorts:
    WEB = running("web", end(HERE, SUBNET[5]), app="web")

    def test_a_port_leads_to_the_container_of_that_name(self) -> None:
        claim = own(running("other", end(HERE, SUBNET[6])), self.WEB)
        assert isinstance(claim, PortClaim)
        assert (claim.container.name, claim.target_port, claim.host_address) == ("web", 8080, None)

    def test_the_container_can_be_reached_on_another_network(self) -> None:
        claim = own(self.WEB, targetPort=80, protocol="udp")
        assert isinstance(claim, PortClaim)
        assert (claim.protocol, claim.target_port) == ("udp", 80)

    def test_labels_choose_too(self) -> None:
        claim = own(self.WEB, containers={"matchLabels": {"app": "web"}})
        assert isinstance(claim, PortClaim)
        assert isinstance(own(self.WEB, containers={"matchLabels": {"app": "db"}}), Finding)

    def test_a_label_of_the_image_selects_nothing_and_is_named(self) -> None:
        claimed = replace(self.WEB, labels={}, image_labels=self.WEB.labels)
        problem = own(claimed, containers={"matchLabels": {"app": "web"}})
        assert isinstance(problem, Finding)
        assert (problem.reason, problem.unknown) == ("NoEndpoint", True)
        assert "container web has the labels from its image only, which select nothing" in problem.message

    def test_a_container_whose_image_can_not_be_inspected_has_no_port_by_its_labels(self) -> None:
        unknown = replace(self.WEB, labels={}, image_labels=self.WEB.labels, image_problem="No such image")
        problem = own(unknown, containers={"matchLabels": {"app": "web"}})
        assert isinstance(problem, Finding)
        assert "its image can't be inspected (No such image)" in problem.message
        assert isinstance(own(unknown), PortClaim), "a name is not the image's"

    def test_clients_can_be_named(self) -> None:
        claim = own(self.WEB, **{"from": ["2001:db8:1::/48", "2001:db8:2::7"]})
        assert isinstance(claim, PortClaim)
        assert [str(s) for s in claim.sources] == ["2001:db8:1::/48", "2001:db8:2::7/128"]

    def test_its_own_address_goes_before_the_blocks(self) -> None:
        block = publishing(host=HOST, ports=[{"port": 1, "containers": {"name": "web"}, "hostAddress": "::1"}])
        claim = own_at(block, self.WEB)
        assert isinstance(claim, PortClaim)
        assert claim.host_address == IPv6Address("::1")
        block = publishing(host=HOST, ports=[{"port": 1, "containers": {"name": "web"}}])
        claim = own_at(block, self.WEB)
        assert isinstance(claim, PortClaim)
        assert claim.host_address == HOST

    def test_the_oldest_container_gets_the_port_and_the_next_takes_over(self) -> None:
        old = running("b", end(HERE, SUBNET[7]), created=1, app="web")
        young = running("a", end(HERE, SUBNET[6]), created=2, app="web")
        for there, name in (((young, old), "b"), ((young,), "a")):
            claim = own(*there, containers={"matchLabels": {"app": "web"}})
            assert isinstance(claim, PortClaim)
            assert claim.container.name == name

    def test_a_container_without_an_address_is_skipped(self) -> None:
        pending = running("b", end(HERE, None), created=1, app="web")
        claim = own(pending, self.WEB, containers={"matchLabels": {"app": "web"}})
        assert isinstance(claim, PortClaim)
        assert claim.container.name == "web"
        alone = own(pending, containers={"matchLabels": {"app": "web"}})
        assert isinstance(alone, PortClaim)
        assert alone.address is None

    def test_a_port_waits_for_its_container(self) -> None:
        problem = own(running("web", end(OTHER, "fd99::5")))
        assert isinstance(problem, Finding)
        assert (problem.reason, problem.unknown) == ("NoEndpoint", True)
        assert "tcp port 8080: no running container on network blog is named web" in problem.message

    def test_a_port_is_reported_by_its_name(self) -> None:
        problem = own(name="http", containers={"matchLabels": {"b": "2", "a": "1"}})
        assert isinstance(problem, Finding)
        assert "publish.ports http:" in problem.message
        assert "is labelled a=1, b=2" in problem.message

    def test_of_a_policys_networks_any_may_have_the_container(self) -> None:
        ports = [{"port": 8080, "containers": {"name": "web"}}]
        places = (publishing(OTHER, "policy/p", ports=ports), publishing(HERE, "policy/p", ports=ports))
        (claim,) = own_ports(places, (self.WEB,))
        assert isinstance(claim, PortClaim)
        assert claim.network == HERE.name


def test_no_wanted_labels_match_no_container() -> None:
    assert not has_labels({"a": "b"}, {})
    assert has_labels({"a": "b", "c": "d"}, {"a": "b"})
    assert not has_labels({"a": "x"}, {"a": "b"})


def test_a_name_is_all_of_the_name() -> None:
    selector = network(publish={"ports": [{"port": 1, "containers": {"name": "web"}}]}).spec.publish.ports[0].containers
    assert [matches_container(selector, running(name)) for name in ("web", "web-1", "WEB")] == [True, False, False]
