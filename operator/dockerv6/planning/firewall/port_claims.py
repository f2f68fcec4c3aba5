"""What resources and containers ask of the host's ports. Pure; `publish` settles who gets what."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.traffic import ANY_ADDRESS, ContainerSelector, Publish, PublishedPort
from dockerv6.dockerd.model import Container, ContainerEndpoint, PortBinding
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.plan import Finding

_ANY_V4 = IPv4Address("0.0.0.0")


@dataclass(frozen=True, slots=True)
class PublishingNetwork:
    """One live network with the publish block that is in force for it."""

    owner: str  # of the elements: the resource
    network_id: str
    network_name: str
    publish: Publish
    gateway: IPv6Address | None = None
    host_address: IPv6Address | None = None  # where ports bind that name no IPv6 address; None: everywhere


PortKey = tuple[str, int, IPv6Address | None]
"""Protocol, port, and the host's address; None: any of them."""


@dataclass(frozen=True, slots=True)
class PortClaim:
    """A wish for one port of the host. ``address`` is None while the container has no IPv6 address yet."""

    owner: str
    protocol: TransportProtocol
    port: int
    host_address: IPv6Address | None
    container: Container
    network: str
    address: IPv6Address | None
    target_port: int
    gateway: IPv6Address | None
    sources: tuple[IPv6Network, ...] = ()

    @property
    def key(self) -> PortKey:
        """What it is a claim to."""
        return (str(self.protocol), self.port, self.host_address)

    def __str__(self) -> str:
        return f"{self.protocol} port {self.port} on {bracketed(self.host_address)}"


def port_finding(reason: Reason, message: str, *, waiting: bool = False, retry: float | None = None) -> Finding:
    """A port that is not published. ``waiting``: it will be without a change by a person, so it is no fault."""
    return Finding(ConditionType.PORTS_PUBLISHED, reason, message, blocks=False, retry=retry, unknown=waiting)


def bracketed(address: IPv6Address | None) -> str:
    """A host address as messages write it."""
    return f"[{address if address is not None else '::'}]"


def _served(
    container: Container, by_network: Mapping[str, PublishingNetwork]
) -> Iterator[tuple[ContainerEndpoint, PublishingNetwork]]:
    """The container's ends on our networks, the one first that its default route goes through.

    Engines take the network of the highest gateway priority (>= 28), then the first by name (moby, libnetwork,
    epHeap.Less); an answer that left by another network would carry an address that is not this network's.
    """
    ends = sorted(container.endpoints, key=lambda e: (e.ipv6 is None, -e.gw_priority, e.network_name))
    for end in ends:
        surface = by_network.get(end.network_id)
        if surface is not None:
            yield end, surface


def from_containers(
    by_network: Mapping[str, PublishingNetwork], containers: Iterable[Container]
) -> Iterator[PortClaim]:
    """What ``docker run -p`` and Compose's ``ports:`` ask for."""
    for container in containers:
        if not container.ports:
            continue
        place = next((p for p in _served(container, by_network) if p[1].publish.from_containers), None)
        if place is None:
            continue
        end, surface = place
        asked = {
            (binding.protocol, binding.host_port, address): binding.container_port
            for binding in sorted(_over_ipv6(container.ports), key=_in_order)
            for address in _host_addresses(binding, surface)
        }
        for (protocol, port, address), target_port in asked.items():
            if address is not None and asked.get((protocol, port, None)) == target_port:
                continue  # everywhere is there too
            yield PortClaim(
                surface.owner,
                TransportProtocol(protocol),
                port,
                address,
                container,
                surface.network_name,
                end.ipv6,
                target_port,
                surface.gateway,
            )


def _over_ipv6(bindings: Iterable[PortBinding]) -> Iterator[PortBinding]:
    """The bindings that IPv6 follows: of a container's port that has its own on IPv6, only those.

    Engine 20.10 with the userland proxy off may choose one random port for 0.0.0.0 and another one for :: (measured).
    """
    everywhere: dict[tuple[str, int], tuple[list[PortBinding], list[PortBinding]]] = {}
    for binding in bindings:
        if binding.host_address in (_ANY_V4, ANY_ADDRESS):
            there = everywhere.setdefault((binding.protocol, binding.container_port), ([], []))
            there[binding.host_address == ANY_ADDRESS].append(binding)
        else:
            yield binding
    for ipv4, ipv6 in everywhere.values():
        yield from ipv6 if len(ipv6) >= len(ipv4) else (*ipv4, *ipv6)


def _in_order(binding: PortBinding) -> tuple[int, bool]:
    """By port, and what is said for IPv6 itself last: it counts."""
    return (binding.host_port, binding.host_address == ANY_ADDRESS)


def _host_addresses(binding: PortBinding, surface: PublishingNetwork) -> tuple[IPv6Address | None, ...]:
    """Where a binding is open over IPv6: an IPv4 address that is not 0.0.0.0 is meant for IPv4 alone."""
    said = binding.host_address
    if said is None or said in (_ANY_V4, ANY_ADDRESS):
        return (surface.host_address,)
    return (said,) if isinstance(said, IPv6Address) else ()


def own_ports(
    publishing_networks: Iterable[PublishingNetwork], containers: tuple[Container, ...]
) -> Iterator[PortClaim | tuple[str, Finding]]:
    """What resources themselves publish, whatever the containers ask for."""
    by_owner: dict[str, list[PublishingNetwork]] = {}
    for surface in publishing_networks:
        if surface.publish.ports:
            by_owner.setdefault(surface.owner, []).append(surface)
    for owner, mine in by_owner.items():
        places = {surface.network_id: surface for surface in mine}
        for port in mine[0].publish.ports:
            yield _own_port(owner, port, places, containers)


def _own_port(
    owner: str, port: PublishedPort, places: Mapping[str, PublishingNetwork], containers: tuple[Container, ...]
) -> PortClaim | tuple[str, Finding]:
    chosen = sorted((c for c in containers if matches_container(port.containers, c)), key=lambda c: (c.created, c.id))
    ends = [(c, *place) for c in chosen for place in _served(c, places)]
    if not ends:
        where = ", ".join(sorted(s.network_name for s in places.values()))
        said = port.name or f"{port.protocol} port {port.port}"
        message = f"publish.ports {said}: no running container on network {where} is {_wanted(port.containers)}"
        return owner, port_finding(Reason.NO_ENDPOINT, message, waiting=True)
    container, end, surface = next((e for e in ends if e[1].ipv6 is not None), ends[0])
    address = port.host_address if port.host_address is not None else surface.host_address
    return PortClaim(
        owner,
        port.protocol,
        port.port,
        None if address == ANY_ADDRESS else address,
        container,
        surface.network_name,
        end.ipv6,
        port.container_port,
        surface.gateway,
        port.from_prefixes,
    )


def matches_container(selector: ContainerSelector, container: Container) -> bool:
    """Whether the selector means the container."""
    if selector.name is not None:
        return container.name == selector.name
    return has_labels(container.labels, selector.match_labels)


def has_labels(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether all the wanted labels are there with their values; nothing wanted is nothing meant."""
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _wanted(selector: ContainerSelector) -> str:
    if selector.name is not None:
        return f"named {selector.name}"
    return "labelled " + ", ".join(f"{key}={value}" for key, value in sorted(selector.match_labels.items()))
