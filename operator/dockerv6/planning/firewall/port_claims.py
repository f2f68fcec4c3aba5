"""The claims of resources and containers to ports of the host. `port_assignment` decides between them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.traffic import ANY_ADDRESS, ContainerSelector, IPv4Wildcard, Publish, PublishedPort
from dockerv6.dockerd.model import Container, ContainerEndpoint, PortBinding
from dockerv6.lib.networking import TransportProtocol
from dockerv6.planning.plan import Finding

_ANY_V4 = IPv4Address("0.0.0.0")


@dataclass(frozen=True, slots=True)
class PublishingNetwork:
    """One live network with the publish block that applies to it."""

    owner: str  # the resource
    network_id: str
    network_name: str
    publish: Publish
    gateway: IPv6Address | None = None
    host_address: IPv6Address | None = None  # the address of ports that specify no IPv6 address; None: all addresses


PortKey = tuple[str, int, IPv6Address | None]
"""Protocol, port, and the host's address; None: all addresses."""


@dataclass(frozen=True, slots=True)
class PortClaim:
    """A claim to one port of the host. ``address`` is None while the container has no IPv6 address."""

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
    from_resource: bool = False  # `publish.ports`: the engine has not bound the port
    force: bool = False  # the port is taken from processes of the host

    @property
    def key(self) -> PortKey:
        """The port that is claimed."""
        return (str(self.protocol), self.port, self.host_address)

    def __str__(self) -> str:
        return f"{self.protocol} port {self.port} on {bracketed(self.host_address)}"


def port_finding(reason: Reason, message: str, *, waiting: bool = False, retry: float | None = None) -> Finding:
    """A port that is not published. ``waiting``: it will be, without a change by a person, so it is not an error."""
    return Finding(ConditionType.PORTS_PUBLISHED, reason, message, blocks=False, retry=retry, unknown=waiting)


def bracketed(address: IPv6Address | None) -> str:
    """A host address as messages print it."""
    return f"[{address if address is not None else '::'}]"


def _served(
    container: Container, by_network: Mapping[str, PublishingNetwork]
) -> Iterator[tuple[ContainerEndpoint, PublishingNetwork]]:
    """The container's endpoints on our networks, that of its default route first.

    Engines use the network with the highest gateway priority (>= 28), then the first by name (moby, libnetwork,
    epHeap.Less). A reply through another network would have an address that is not this network's.
    """
    ends = sorted(container.endpoints, key=lambda e: (e.ipv6 is None, -e.gw_priority, e.network_name))
    for end in ends:
        network = by_network.get(end.network_id)
        if network is not None:
            yield end, network


def from_containers(
    by_network: Mapping[str, PublishingNetwork], containers: Iterable[Container]
) -> Iterator[PortClaim]:
    """The claims of ``docker run -p`` and Compose's ``ports:``."""
    for container in containers:
        if not container.ports:
            continue
        served = next((p for p in _served(container, by_network) if p[1].publish.from_containers), None)
        if served is None:
            continue
        end, network = served
        claimed = {
            (binding.protocol, binding.host_port, address): binding.container_port
            for binding in sorted(_over_ipv6(container.ports, network.publish.ipv4_wildcard), key=_binding_order)
            for address in _host_addresses(binding, network)
        }
        for (protocol, port, address), target_port in claimed.items():
            if address is not None and claimed.get((protocol, port, None)) == target_port:
                continue  # the port is published on all addresses anyway
            yield PortClaim(
                network.owner,
                TransportProtocol(protocol),
                port,
                address,
                container,
                network.network_name,
                end.ipv6,
                target_port,
                network.gateway,
            )


def _over_ipv6(bindings: Iterable[PortBinding], written: IPv4Wildcard) -> Iterator[PortBinding]:
    """The bindings that apply to IPv6: those on ``::`` if a container port has one for each on 0.0.0.0.

    One whose 0.0.0.0 a person wrote counts only with `IPv4Wildcard.BOTH`.

    Engine 20.10 without the userland proxy may choose one random port for 0.0.0.0 and another for ``::`` (measured).
    """
    wildcards: dict[tuple[str, int], tuple[list[PortBinding], list[PortBinding]]] = {}
    for binding in bindings:
        if binding.ipv4_only and written is IPv4Wildcard.IPV4:
            continue
        if binding.host_address in (_ANY_V4, ANY_ADDRESS):
            by_family = wildcards.setdefault((binding.protocol, binding.container_port), ([], []))
            by_family[binding.host_address == ANY_ADDRESS].append(binding)
        else:
            yield binding
    for ipv4, ipv6 in wildcards.values():
        yield from ipv6 if len(ipv6) >= len(ipv4) else (*ipv4, *ipv6)


def _binding_order(binding: PortBinding) -> tuple[int, bool]:
    """By port; a binding on ``::`` comes last, so that it overrides the others."""
    return (binding.host_port, binding.host_address == ANY_ADDRESS)


def _host_addresses(binding: PortBinding, network: PublishingNetwork) -> tuple[IPv6Address | None, ...]:
    """The host addresses of a binding. An IPv4 address other than 0.0.0.0 applies to IPv4 only."""
    address = binding.host_address
    if address is None or address in (_ANY_V4, ANY_ADDRESS):
        return (network.host_address,)
    return (address,) if isinstance(address, IPv6Address) else ()


def own_ports(
    publishing_networks: Iterable[PublishingNetwork], containers: tuple[Container, ...]
) -> Iterator[PortClaim | tuple[str, Finding]]:
    """The claims of ``publish.ports``; or with its owner, the finding that no container matches."""
    by_owner: dict[str, list[PublishingNetwork]] = {}
    for network in publishing_networks:
        if network.publish.ports:
            by_owner.setdefault(network.owner, []).append(network)
    for owner, networks in by_owner.items():
        networks_by_id = {network.network_id: network for network in networks}
        for port in networks[0].publish.ports:
            yield _own_port(owner, port, networks_by_id, containers)


def _own_port(
    owner: str, port: PublishedPort, networks_by_id: Mapping[str, PublishingNetwork], containers: tuple[Container, ...]
) -> PortClaim | tuple[str, Finding]:
    chosen = sorted((c for c in containers if matches_container(port.containers, c)), key=lambda c: (c.created, c.id))
    ends = [(c, *served) for c in chosen for served in _served(c, networks_by_id)]
    if not ends:
        where = ", ".join(sorted(s.network_name for s in networks_by_id.values()))
        name = port.name or f"{port.protocol} port {port.port}"
        message = f"publish.ports {name}: no running container on network {where} is {_wanted(port.containers)}"
        unproven = unproven_labels(containers, port.containers.match_labels)
        message += f"; {unproven}" if unproven else ""
        return owner, port_finding(Reason.NO_ENDPOINT, message, waiting=True)
    container, end, network = next((e for e in ends if e[1].ipv6 is not None), ends[0])
    address = port.host_address if port.host_address is not None else network.host_address
    return PortClaim(
        owner,
        port.protocol,
        port.port,
        None if address == ANY_ADDRESS else address,
        container,
        network.network_name,
        end.ipv6,
        port.container_port,
        network.gateway,
        port.from_prefixes,
        from_resource=True,
        force=port.force,
    )


def matches_container(selector: ContainerSelector, container: Container) -> bool:
    """Whether the selector matches the container."""
    if selector.name is not None:
        return container.name == selector.name
    return has_labels(container.labels, selector.match_labels)


def may_have_labels(container: Container, wanted: Mapping[str, str]) -> bool:
    """Whether it has the labels, or would have them if its image could be inspected."""
    return has_labels(possible_labels(container), wanted)


def possible_labels(container: Container) -> Mapping[str, str]:
    """The labels that were set at its creation; all of them if its image can't be inspected."""
    return {**container.image_labels, **container.labels} if container.image_problem else container.labels


def unproven_labels(containers: Iterable[Container], wanted: Mapping[str, str]) -> str:
    """Why containers with these labels are not selected, with the remedy; "": there are none."""
    unproven = [
        container
        for container in containers
        if has_labels({**container.image_labels, **container.labels}, wanted)
        and not has_labels(container.labels, wanted)
    ]
    unknown = next((each for each in unproven if each.image_problem), None)
    if unknown is not None:
        return (
            f"container {unknown.name} has the labels, but whether they were set at its creation is unknown, because"
            f" its image can't be inspected ({unknown.image_problem}); pull the image and create the container again"
        )
    if not unproven:
        return ""
    names = ", ".join(sorted(each.name for each in unproven))
    return (
        f"container {names} has the labels from its image only, which select nothing; set them when the container is"
        " created (docker run --label, or labels in the Compose file), with another value than the image's"
    )


def has_labels(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether all wanted labels are present with their values. Without wanted labels, nothing matches."""
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _wanted(selector: ContainerSelector) -> str:
    if selector.name is not None:
        return f"named {selector.name}"
    return "labelled " + ", ".join(f"{key}={value}" for key, value in sorted(selector.match_labels.items()))
