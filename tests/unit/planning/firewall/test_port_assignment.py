"""Which container gets a port of the host, if one or more claim it."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.api.traffic import Publish
from dockerv6.dockerd.model import Container
from dockerv6.firewall.model import PortIntent
from dockerv6.hostnet.model import Listener
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.firewall.port_assignment import HostPorts, PortAssignment, assign_ports
from dockerv6.planning.firewall.port_claims import PublishingNetwork
from tests.simulation.resources import network
from tests.unit.planning.scene import SUBNET, binding, end, foreign, live, running

HERE = live()
OTHER = foreign("other", "fd99::/64")
GATEWAY = IPv6Address("fd00::1")
OLD = running("old", end(HERE, SUBNET[5]), created=1, ports=(binding(8080),))
YOUNG = running("young", end(HERE, SUBNET[6]), created=2, ports=(binding(8080, 81),))
SPECIFIC = replace(YOUNG, ports=(binding(8080, 81, "2001:db8::1"),))
TAKER = Listener("tcp", IPv6Address("::"), 8080)


def block(**publish: object) -> Publish:
    return network(publish=publish).spec.publish


def ssh(**changes: object) -> Publish:
    """Port 22 of the host for container web."""
    return block(fromContainers=False, ports=[{"port": 22, "containers": {"name": "web"}, **changes}])


def publishing(owner: str = "blog", publish: Publish | None = None) -> PublishingNetwork:
    return PublishingNetwork(owner, HERE.id, HERE.name, publish or block(fromContainers=True), GATEWAY)


def given(
    *containers: Container,
    before: PortAssignment | None = None,
    listeners: tuple[Listener, ...] = (),
    served_ports: tuple[int, ...] = (),
    publish: Publish | None = None,
    problem: str = "",
) -> PortAssignment:
    incumbents = before.incumbents if before is not None else {}
    host = HostPorts(frozenset(listeners), frozenset(served_ports), own=9153, problem=problem)
    return assign_ports((publishing(publish=publish),), containers, incumbents, host)


def served(found: PortAssignment) -> dict[str, str]:
    return {f"{protocol} {port} {address or '::'}": name for (protocol, port, address), name in found.names.items()}


def reasons(found: PortAssignment) -> dict[str, list[tuple[str, bool]]]:
    return {owner: [(str(p.reason), p.unknown) for p in each] for owner, each in found.problems.items()}


def test_a_port_leads_to_its_container() -> None:
    found = given(OLD)
    assert found.ports == (PortIntent("blog", TransportProtocol.TCP, 8080, SUBNET[5], 80, GATEWAY),)
    assert (served(found), found.problems) == ({"tcp 8080 ::": "old"}, {})


def test_an_address_that_is_not_given_out_yet_is_waited_for() -> None:
    found = given(replace(OLD, endpoints=(end(HERE, None),)))
    assert (found.ports, reasons(found)) == ((), {"blog": [("AddressPending", True)]})


def test_a_port_without_a_container_waits() -> None:
    found = given(publish=block(ports=[{"port": 1, "containers": {"name": "web"}}]))
    assert (found.ports, reasons(found)) == ((), {"blog": [("NoEndpoint", True)]})


class TestConflicts:
    def test_the_older_of_two_containers_is_served(self) -> None:
        for order in ((OLD, YOUNG), (YOUNG, OLD)):
            found = given(*order)
            assert served(found) == {"tcp 8080 ::": "old"}
            assert reasons(found) == {"blog": [("PortConflict", False)]}
            assert "container young is already forwarded to container old" in found.problems["blog"][0].message

    def test_the_holder_keeps_its_port(self) -> None:
        found = given(OLD, YOUNG, before=given(YOUNG))
        assert served(found) == {"tcp 8080 ::": "young"}

    def test_the_holder_keeps_its_port_when_it_is_reached_by_another_of_its_networks(self) -> None:
        there = PublishingNetwork("else", OTHER.id, OTHER.name, block(fromContainers=True))
        before = assign_ports((publishing(), there), (replace(YOUNG, endpoints=(end(OTHER, "fd99::6"),)),), {})
        both = replace(YOUNG, endpoints=(end(HERE, SUBNET[6]), end(OTHER, "fd99::6")))
        found = assign_ports((publishing(), there), (OLD, both), before.incumbents)
        assert [(p.owner, p.target) for p in found.ports] == [("blog", SUBNET[6])]
        assert served(found) == {"tcp 8080 ::": "young"}

    def test_the_other_has_it_when_it_is_free(self) -> None:
        found = given(YOUNG, before=given(OLD, YOUNG))
        assert (served(found), found.problems) == ({"tcp 8080 ::": "young"}, {})

    @pytest.mark.parametrize("first", [OLD, SPECIFIC], ids=["everywhere", "one address"])
    def test_everywhere_and_one_address_are_in_one_anothers_way(self, first: Container) -> None:
        found = given(OLD, SPECIFIC, before=given(first))
        assert [*served(found).values()] == [first.name]
        assert reasons(found) == {"blog": [("PortConflict", False)]}

    def test_two_addresses_are_not(self) -> None:
        other = replace(OLD, ports=(binding(8080, at="::1"),))
        found = given(SPECIFIC, other)
        assert served(found) == {"tcp 8080 ::1": "old", "tcp 8080 2001:db8::1": "young"}
        assert found.problems == {}

    def test_protocols_are_not(self) -> None:
        found = given(OLD, replace(YOUNG, ports=(binding(8080, protocol="udp"),)))
        assert (len(found.ports), found.problems) == (2, {})

    def test_a_container_and_a_resource(self) -> None:
        publish = block(ports=[{"port": 8080, "containers": {"name": "web"}}])
        web = running("web", end(HERE, SUBNET[7]), created=3)
        assert served(given(OLD, web, publish=publish)) == {"tcp 8080 ::": "old"}
        web = replace(web, created=0)
        found = given(OLD, web, publish=publish)
        assert (served(found), reasons(found)) == ({"tcp 8080 ::": "web"}, {"blog": [("PortConflict", False)]})

    def test_of_two_resources_the_one_without_the_port_gets_a_finding(self) -> None:
        there = PublishingNetwork("else", OTHER.id, OTHER.name, block(fromContainers=True))
        theirs = running("theirs", end(OTHER, "fd99::5"), created=5, ports=(binding(8080),))
        found = assign_ports((publishing(), there), (OLD, theirs), {})
        assert (served(found), reasons(found)) == ({"tcp 8080 ::": "old"}, {"else": [("PortConflict", False)]})

    def test_one_port_is_not_forwarded_to_two_ports_of_a_container(self) -> None:
        twice = replace(OLD, ports=(binding(8080, 80), binding(8080, 81, "::1")))
        found = given(twice)
        assert (len(found.ports), reasons(found)) == (1, {"blog": [("PortConflict", False)]})

    def test_a_claim_without_an_address_does_not_conflict(self) -> None:
        found = given(replace(OLD, endpoints=(end(HERE, None),)), YOUNG)
        assert served(found) == {"tcp 8080 ::": "young"}


class TestTheSameTargetTwice:
    CLIENTS = IPv6Network("2001:db8:1::/48")

    def own(self, **port: object) -> Publish:
        entry = {"port": 8080, "targetPort": 80, "containers": {"name": "old"}, **port}
        return block(ports=[entry])

    def test_it_is_no_conflict(self) -> None:
        found = given(OLD, publish=self.own())
        assert (len(found.ports), found.problems) == (1, {})

    def test_an_allow_list_is_meant(self) -> None:
        found = given(OLD, publish=self.own(**{"from": [str(self.CLIENTS)]}))
        assert [p.sources for p in found.ports] == [(self.CLIENTS,)]
        assert found.problems == {}

    @pytest.mark.parametrize("held", [False, True])
    def test_a_wildcard_address_precedes_a_single_one_in_any_order(self, held: bool) -> None:  # noqa: FBT001
        one = replace(OLD, ports=(binding(8080, at="2001:db8::1"),))
        before = given(one) if held else None
        found = given(one, publish=self.own(), before=before)
        assert (served(found), found.problems) == ({"tcp 8080 ::": "old"}, {})

    def test_an_allow_list_for_one_address_of_a_port_on_all_addresses_is_reported(self) -> None:
        found = given(OLD, publish=self.own(**{"from": [str(self.CLIENTS)], "hostAddress": "2001:db8::1"}))
        assert served(found) == {"tcp 8080 ::": "old"}
        assert reasons(found) == {"blog": [("PortConflict", False)]}


class TestListeners:
    """A host process that the port would make unreachable."""

    PUBLISH = block(fromContainers=False, ports=[{"port": 8080, "containers": {"name": "web"}}])
    WEB = running("web", end(HERE, SUBNET[7]))

    def test_a_process_of_the_host_keeps_its_port(self) -> None:
        found = given(self.WEB, publish=self.PUBLISH, listeners=(TAKER,))
        assert (found.ports, reasons(found)) == ((), {"blog": [("PortTaken", False)]})
        assert "a host process that listens on [::]:8080" in found.problems["blog"][0].message

    def test_a_process_that_begins_to_listen_gets_its_port_back(self) -> None:
        before = given(self.WEB, publish=self.PUBLISH)
        assert before.ports
        found = given(self.WEB, publish=self.PUBLISH, listeners=(TAKER,), before=before)
        assert (found.ports, reasons(found)) == ((), {"blog": [("PortTaken", False)]})
        assert given(self.WEB, publish=self.PUBLISH, before=found).ports == before.ports

    def test_the_same_holds_for_a_port_that_the_engine_has_bound_for_ipv4_only(self) -> None:
        web = replace(OLD, ports=(binding(8080, at="0.0.0.0"),))
        before = given(web)
        assert before.ports
        assert given(web, listeners=(TAKER,), before=before).ports == ()

    def test_no_further_port_is_taken_while_listeners_can_not_be_read(self) -> None:
        found = given(self.WEB, publish=self.PUBLISH, problem="no memory")
        assert (found.ports, reasons(found)) == ((), {"blog": [("HostUnreadable", False)]})
        assert "the sockets of the host can't be read (no memory)" in found.problems["blog"][0].message
        assert "force: true" in found.problems["blog"][0].message
        before = given(self.WEB, publish=self.PUBLISH)
        assert given(self.WEB, publish=self.PUBLISH, problem="no memory", before=before) == before
        narrower = block(ports=[{"port": 8080, "containers": {"name": "web"}, "hostAddress": "2001:db8::1"}])
        assert given(self.WEB, publish=narrower, problem="no memory", before=before).ports
        known = given(self.WEB, publish=self.PUBLISH, listeners=(TAKER,), problem="no memory", before=before)
        assert reasons(known) == {"blog": [("PortTaken", False)]}

    def test_a_port_that_the_engine_holds_on_ipv6_needs_no_reading(self) -> None:
        assert given(OLD, problem="no memory").ports
        web = replace(OLD, ports=(binding(8080, at="0.0.0.0"),))
        assert reasons(given(web, problem="no memory")) == {"blog": [("HostUnreadable", False)]}

    def test_a_port_is_taken_by_force(self) -> None:
        forced = block(ports=[{"port": 8080, "containers": {"name": "web"}, "force": True}])
        assert given(self.WEB, publish=forced, listeners=(TAKER,)).ports
        assert given(self.WEB, publish=ssh(force=True), served_ports=(22,)).ports
        assert given(self.WEB, publish=forced, problem="no memory").ports

    @pytest.mark.parametrize(("port", "service"), [(22, "SSH"), (2375, "the Docker API"), (9153, "dockerv6 itself")])
    def test_a_service_of_the_host_keeps_its_port_while_it_is_stopped(self, port: int, service: str) -> None:
        found = given(self.WEB, publish=ssh(port=port))
        assert (found.ports, reasons(found)) == ((), {"blog": [("PortReserved", False)]})
        assert f"is reserved for {service} of the host; choose another port, or write force: true" in (
            found.problems["blog"][0].message
        )
        assert given(self.WEB, publish=ssh(port=port, protocol="udp")).ports

    def test_a_service_with_connections_keeps_its_port_while_it_does_not_listen(self) -> None:
        found = given(self.WEB, publish=ssh(port=2222), served_ports=(2222,))
        assert (found.ports, reasons(found)) == ((), {"blog": [("PortReserved", False)]})
        assert given(self.WEB, publish=ssh(port=2222)).ports

    def test_a_port_that_the_engine_has_bound_for_a_container_is_not_reserved(self) -> None:
        web = replace(OLD, ports=(binding(22),))
        assert given(web, listeners=(replace(TAKER, port=22),), served_ports=(22,)).ports

    def test_the_engines_socket_for_the_container_does_not_conflict(self) -> None:
        assert given(OLD, listeners=(TAKER,)).problems == {}
        assert given(OLD, listeners=(TAKER,), publish=block(ports=[])).ports
        same = block(fromContainers=False, ports=[{"port": 8080, "containers": {"name": "old"}}])
        assert given(OLD, listeners=(TAKER,), publish=same).problems == {}

    def test_the_engines_socket_for_a_container_that_is_none_of_ours_is(self) -> None:
        theirs = running("theirs", end(OTHER, None), created=0, ports=(binding(8080, at="0.0.0.0"), binding(8080)))
        found = given(self.WEB, theirs, publish=self.PUBLISH, listeners=(TAKER,))
        assert (found.ports, reasons(found)) == ((), {"blog": [("PortTaken", False)]})
        assert "is in use by container theirs" in found.problems["blog"][0].message

    def test_a_process_keeps_what_the_engine_has_given_out_for_ipv4_alone(self) -> None:
        web = replace(OLD, ports=(binding(8080, at="0.0.0.0"),))
        assert reasons(given(web, listeners=(TAKER,))) == {"blog": [("PortTaken", False)]}

    @pytest.mark.parametrize(
        ("listener", "free"),
        [
            (replace(TAKER, port=8081), True),
            (replace(TAKER, protocol="udp"), True),
            (replace(TAKER, address=IPv6Address("2001:db8::1")), False),
        ],
    )
    def test_only_the_very_port_counts(self, listener: Listener, *, free: bool) -> None:
        assert bool(given(self.WEB, publish=self.PUBLISH, listeners=(listener,)).ports) is free

    def test_one_address_is_free_while_another_is_taken(self) -> None:
        port = {"port": 8080, "containers": {"name": "web"}, "hostAddress": "2001:db8::1"}
        publish = block(ports=[port])
        elsewhere = replace(TAKER, address=IPv6Address("::1"))
        assert given(self.WEB, publish=publish, listeners=(elsewhere,)).ports
        assert not given(self.WEB, publish=publish, listeners=(TAKER,)).ports


def test_where_ports_lead_is_what_comes_before_next_time() -> None:
    found = given(OLD)
    assert found.incumbents == {("tcp", 8080, None): (SUBNET[5], 80)}
    assert given(OLD, before=found) == found
