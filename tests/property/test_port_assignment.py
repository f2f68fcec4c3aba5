"""Whoever asks for whatever ports: one is served, it stays so, and the others know why not."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api.traffic import ANY_ADDRESS, Publish
from dockerv6.dockerd.model import Container, ContainerEndpoint, PortBinding
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.render import render
from dockerv6.hostnet.model import Listener
from dockerv6.planning.firewall.port_assignment import PortAssignment, assign_ports
from dockerv6.planning.firewall.port_claims import PortClaim, PublishingNetwork, from_containers, own_ports
from tests.simulation.resources import network

PROTOCOLS = st.sampled_from(["tcp", "udp"])
PORTS = st.sampled_from([80, 81])
TARGETS = st.sampled_from([8000, 8001])
ADDRESSES = [ANY_ADDRESS, IPv6Address("2001:db8::1"), IPv6Address("::1")]
NAMES = ["a", "b", "c"]
SOURCES = [(), ("2001:db8:1::/48",), ("2001:db8:2::/48",)]


@dataclass(frozen=True)
class Asked:
    """What there is to decide on."""

    surfaces: tuple[PublishingNetwork, ...]
    containers: tuple[Container, ...]
    listeners: frozenset[Listener]

    def assign_ports(self, before: PortAssignment | None = None) -> PortAssignment:
        return assign_ports(self.surfaces, self.containers, before.incumbents if before else {}, self.listeners)

    @property
    def claims(self) -> tuple[PortClaim, ...]:
        by_network = {s.network_id: s for s in self.surfaces}
        own = (c for c in own_ports(self.surfaces, self.containers) if isinstance(c, PortClaim))
        return (*from_containers(by_network, self.containers), *own)


@st.composite
def blocks(draw: st.DrawFn) -> Publish:
    ports: dict[tuple[object, ...], dict[str, object]] = {}
    for _ in range(draw(st.integers(0, 2))):
        port: dict[str, object] = {
            "port": draw(PORTS),
            "protocol": draw(PROTOCOLS),
            "targetPort": draw(TARGETS),
            "hostAddress": str(draw(st.sampled_from(ADDRESSES))),
            "from": list(draw(st.sampled_from(SOURCES))),
            "containers": draw(
                st.sampled_from([{"name": f"{n}-web"} for n in NAMES]) | st.just({"matchLabels": {"app": "web"}})
            ),
        }
        ports[port["port"], port["protocol"], port["hostAddress"]] = port
    spec = {"fromContainers": draw(st.booleans()), "ports": list(ports.values())}
    return network(publish=spec).spec.publish


@st.composite
def containers(draw: st.DrawFn, ids: list[str]) -> tuple[Container, ...]:
    found = []
    for number, name in enumerate(sorted(draw(st.sets(st.sampled_from(NAMES))))):
        bindings = st.builds(
            PortBinding,
            PROTOCOLS,
            TARGETS,
            PORTS,
            st.sampled_from([*ADDRESSES, IPv4Address("0.0.0.0"), IPv4Address("192.0.2.1"), None]),
        )
        ends = tuple(
            ContainerEndpoint(
                each,
                each,
                draw(st.sampled_from([IPv6Address(f"fd00:{index}::{number + 5}"), None])),
                draw(st.integers(0, 1)),
            )
            for index, each in enumerate(sorted(draw(st.sets(st.sampled_from([*ids, "elsewhere"])))))
        )
        labels = draw(st.sampled_from([{}, {"app": "web"}]))
        ports = tuple(draw(st.lists(bindings, max_size=3)))
        found.append(Container(f"{name}-id", f"{name}-web", draw(st.integers(1, 3)), labels, ports, tuple(ends)))
    return tuple(draw(st.permutations(found)))


@st.composite
def wishes(draw: st.DrawFn) -> Asked:
    owners = {"blog": draw(blocks()), "policy/all": draw(blocks())}
    places = [("n1", "blog"), ("n2", "policy/all"), ("n3", "policy/all")]
    surfaces = tuple(PublishingNetwork(owner, each, each, owners[owner]) for each, owner in places)
    listeners = draw(st.frozensets(st.builds(Listener, PROTOCOLS, st.sampled_from(ADDRESSES), PORTS), max_size=2))
    return Asked(surfaces, draw(containers([each for each, _ in places])), listeners)


def overlap(one: PortIntent, other: PortIntent) -> bool:
    """Whether one packet can be for both."""
    same = (one.protocol, one.port) == (other.protocol, other.port)
    return same and (one.host_address == other.host_address or None in (one.host_address, other.host_address))


@given(wishes(), wishes())
def test_no_packet_is_for_two_containers(first: Asked, then: Asked) -> None:
    found = then.assign_ports(first.assign_ports()).ports
    assert not any(overlap(one, other) for i, one in enumerate(found) for other in found[i + 1 :])


@given(wishes())
def test_everything_that_is_served_was_asked_for(asked: Asked) -> None:
    wanted = {(c.owner, *c.key, c.address, c.target_port) for c in asked.claims}
    for port in asked.assign_ports().ports:
        assert (port.owner, str(port.protocol), port.port, port.host_address, port.target, port.target_port) in wanted


@given(wishes(), wishes())
def test_everything_that_is_asked_for_is_served_or_told_of(first: Asked, then: Asked) -> None:
    found = then.assign_ports(first.assign_ports())
    served = {
        (str(p.protocol), p.port, at, found.names[str(p.protocol), p.port, p.host_address], p.target_port)
        for p in found.ports
        for at in ([None, *ADDRESSES] if p.host_address is None else [p.host_address])
    }
    for claim in then.claims:
        if (*claim.key, claim.container.name, claim.target_port) not in served:
            assert found.problems.get(claim.owner), claim


@given(wishes(), wishes())
def test_what_is_settled_stays_so(first: Asked, then: Asked) -> None:
    found = then.assign_ports(first.assign_ports())
    again = then.assign_ports(found)
    assert again.ports == found.ports  # of two reasons against a claim, another one may be said the second time
    assert then.assign_ports(again) == again


@given(wishes(), st.randoms(use_true_random=False))
def test_it_does_not_matter_in_which_order_they_are_listed(asked: Asked, random: object) -> None:
    shuffled = list(asked.containers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Asked(asked.surfaces, tuple(shuffled), asked.listeners).assign_ports().ports == asked.assign_ports().ports


@given(wishes(), wishes())
def test_a_port_is_never_taken_from_who_has_it_and_still_asks(first: Asked, then: Asked) -> None:
    before = first.assign_ports()
    again = {(*claim.key, claim.address, claim.target_port) for claim in then.claims}
    after = then.assign_ports(before).incumbents
    for key, (address, target_port) in before.incumbents.items():
        if (*key, address, target_port) in again:
            wider = after.get((key[0], key[1], None))
            assert (after.get(key) or wider) == (address, target_port)


@given(wishes(), wishes())
def test_nothing_is_taken_from_a_process_of_the_host(first: Asked, then: Asked) -> None:
    before = first.assign_ports()
    given_out = {
        (b.protocol, b.host_port)
        for c in then.containers
        for b in c.ports
        if not isinstance(b.host_address, IPv4Address)
    }
    for port in then.assign_ports(before).ports:
        key = (str(port.protocol), port.port)
        if any(k[:2] == key for k in before.incumbents) or key in given_out:
            continue
        here = (port.host_address, ANY_ADDRESS) if port.host_address is not None else ADDRESSES
        assert not any((e.protocol, e.port) == key and e.address in here for e in then.listeners)


@given(wishes(), wishes())
def test_the_table_takes_all_of_it(first: Asked, then: Asked) -> None:
    ports = then.assign_ports(first.assign_ports()).ports
    networks = tuple(
        NetworkIntent(owner, IPv6Network(f"fd00:{i}::/64"), f"br{i}")
        for i, owner in enumerate(("blog", "policy/all", "policy/all"))
    )
    table = render(FirewallIntent(networks, ports=ports))
    published = [s for s in table.sets if s.name in {"published_to", "published_at_to"}]
    assert sum(len(s.elements) for s in published) == len(ports)
