"""Each port is assigned to one claim, assignments are stable, and every other claim has a problem."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from dockerv6.api.traffic import ANY_ADDRESS, Publish
from dockerv6.dockerd.model import Container, ContainerEndpoint, PortBinding
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.render import render
from dockerv6.hostnet.model import Listener
from dockerv6.lib.networking import InterfaceName
from dockerv6.planning.firewall.port_assignment import HostPorts, PortAssignment, assign_ports
from dockerv6.planning.firewall.port_claims import PortClaim, PublishingNetwork, from_containers, own_ports
from tests.simulation.resources import network

PROTOCOLS = st.sampled_from(["tcp", "udp"])
PORTS = st.sampled_from([80, 81])
TARGETS = st.sampled_from([8000, 8001])
ADDRESSES = [ANY_ADDRESS, IPv6Address("2001:db8::1"), IPv6Address("::1")]
NAMES = ["a", "b", "c"]
SOURCES = [(), ("2001:db8:1::/48",), ("2001:db8:2::/48",)]


@dataclass(frozen=True)
class PublishingInputs:
    """The inputs of `assign_ports`."""

    networks_: tuple[PublishingNetwork, ...]
    containers: tuple[Container, ...]
    host: HostPorts

    def assign_ports(self, before: PortAssignment | None = None) -> PortAssignment:
        return assign_ports(self.networks_, self.containers, before.incumbents if before else {}, self.host)

    @property
    def claims(self) -> tuple[PortClaim, ...]:
        by_network = {s.network_id: s for s in self.networks_}
        own = (c for c in own_ports(self.networks_, self.containers) if isinstance(c, PortClaim))
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
            for index, each in enumerate(sorted(draw(st.sets(st.sampled_from([*ids, "other"])))))
        )
        labels = draw(st.sampled_from([{}, {"app": "web"}]))
        ports = tuple(draw(st.lists(bindings, max_size=3)))
        found.append(Container(f"{name}-id", f"{name}-web", draw(st.integers(1, 3)), labels, ports, tuple(ends)))
    return tuple(draw(st.permutations(found)))


@st.composite
def publishing_inputs(draw: st.DrawFn) -> PublishingInputs:
    owners = {"blog": draw(blocks()), "policy/all": draw(blocks())}
    places = [("n1", "blog"), ("n2", "policy/all"), ("n3", "policy/all")]
    networks_ = tuple(PublishingNetwork(owner, each, each, owners[owner]) for each, owner in places)
    listeners = draw(st.frozensets(st.builds(Listener, PROTOCOLS, st.sampled_from(ADDRESSES), PORTS), max_size=2))
    return PublishingInputs(networks_, draw(containers([each for each, _ in places])), HostPorts(listeners))


def overlap(one: PortIntent, other: PortIntent) -> bool:
    """Whether a packet can match both."""
    same = (one.protocol, one.port) == (other.protocol, other.port)
    return same and (one.host_address == other.host_address or None in (one.host_address, other.host_address))


@given(publishing_inputs(), publishing_inputs())
def test_no_packet_matches_two_ports(initial: PublishingInputs, changed: PublishingInputs) -> None:
    found = changed.assign_ports(initial.assign_ports()).ports
    assert not any(overlap(one, other) for i, one in enumerate(found) for other in found[i + 1 :])


@given(publishing_inputs())
def test_every_assigned_port_has_a_claim(inputs: PublishingInputs) -> None:
    claimed = {(c.owner, *c.key, c.address, c.target_port) for c in inputs.claims}
    for port in inputs.assign_ports().ports:
        assert (port.owner, str(port.protocol), port.port, port.host_address, port.target, port.target_port) in claimed


@given(publishing_inputs(), publishing_inputs())
def test_every_claim_is_assigned_or_has_a_problem(initial: PublishingInputs, changed: PublishingInputs) -> None:
    found = changed.assign_ports(initial.assign_ports())
    served = {
        (str(p.protocol), p.port, at, found.names[str(p.protocol), p.port, p.host_address], p.target_port)
        for p in found.ports
        for at in ([None, *ADDRESSES] if p.host_address is None else [p.host_address])
    }
    for claim in changed.claims:
        if (*claim.key, claim.container.name, claim.target_port) not in served:
            assert found.problems.get(claim.owner), claim


@given(publishing_inputs(), publishing_inputs())
def test_an_assignment_is_stable(initial: PublishingInputs, changed: PublishingInputs) -> None:
    found = changed.assign_ports(initial.assign_ports())
    repeated = changed.assign_ports(found)
    assert repeated.ports == found.ports  # of two problems of a claim, another one may be reported
    assert changed.assign_ports(repeated) == repeated


@given(publishing_inputs(), st.randoms(use_true_random=False))
def test_the_order_of_containers_does_not_matter(inputs: PublishingInputs, random: object) -> None:
    shuffled = list(inputs.containers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert (
        PublishingInputs(inputs.networks_, tuple(shuffled), inputs.host).assign_ports().ports
        == inputs.assign_ports().ports
    )


@given(publishing_inputs(), publishing_inputs())
def test_a_claim_that_has_a_port_keeps_it_from_other_claims(
    initial: PublishingInputs, changed: PublishingInputs
) -> None:
    before = initial.assign_ports()
    changed = replace(changed, host=HostPorts())
    claimed = {(*claim.key, claim.address, claim.target_port) for claim in changed.claims}
    after = changed.assign_ports(before).incumbents
    for key, (address, target_port) in before.incumbents.items():
        if (*key, address, target_port) in claimed:
            wider = after.get((key[0], key[1], None))
            assert (after.get(key) or wider) == (address, target_port)


@given(publishing_inputs(), publishing_inputs())
def test_no_port_of_a_listening_process_is_assigned(initial: PublishingInputs, changed: PublishingInputs) -> None:
    before = initial.assign_ports()
    bound_by_engine = {
        (b.protocol, b.host_port)
        for c in changed.containers
        for b in c.ports
        if not isinstance(b.host_address, IPv4Address)
    }
    for port in changed.assign_ports(before).ports:
        key = (str(port.protocol), port.port)
        if key in bound_by_engine:
            continue
        listening_addresses = (port.host_address, ANY_ADDRESS) if port.host_address is not None else ADDRESSES
        assert not any((e.protocol, e.port) == key and e.address in listening_addresses for e in changed.host.listeners)


@given(publishing_inputs(), publishing_inputs())
def test_every_assigned_port_is_rendered(initial: PublishingInputs, changed: PublishingInputs) -> None:
    ports = changed.assign_ports(initial.assign_ports()).ports
    networks = tuple(
        NetworkIntent(owner, IPv6Network(f"fd00:{i}::/64"), InterfaceName(f"br{i}"))
        for i, owner in enumerate(("blog", "policy/all", "policy/all"))
    )
    table = render(FirewallIntent(networks, ports=ports))
    published = [s for s in table.sets if s.name in {"published_to", "published_at_to"}]
    assert sum(len(s.elements) for s in published) == len(ports)
