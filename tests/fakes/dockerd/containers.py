"""The fake engine's containers: their configuration, and the ports that ``docker run -p`` publishes."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple

from dockerv6.dockerd import api_errors
from dockerv6.dockerd.decode import labels_at_creation
from dockerv6.dockerd.model import Container, ContainerEndpoint, PortBinding
from dockerv6.dockerd.port_bindings import RequestedPort, is_ambiguous, marked, port_order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from dockerv6.dockerd.model import Attachment, Endpoint, Network
    from tests.fakes.dockerd.versions import EngineVersion

AnyAddress = IPv4Address | IPv6Address

_SHARED = "container sharing network namespace with another container or host cannot be connected to any other network"
_PRIVATE = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
_ANY = (IPv4Address("0.0.0.0"), IPv6Address("::"))


class Families(NamedTuple):
    """The address families in which a container's networks can publish ports."""

    ipv4: bool
    ipv6: bool


NOTHING = Families(ipv4=False, ipv6=False)


@dataclass(frozen=True, slots=True)
class Publish:
    """One entry of ``HostConfig.PortBindings``.

    Attributes:
        container_port: the published port.
        protocol: "tcp", "udp" or "sctp".
        host_address: None: any, of both families.
        host_ports: first and last of the acceptable range; None: the engine chooses.
    """

    container_port: int
    protocol: str = "tcp"
    host_address: AnyAddress | None = None
    host_ports: tuple[int, int] | None = None

    @property
    def key(self) -> str:
        """The container's port in the API: "80/tcp"."""
        return f"{self.container_port}/{self.protocol}"

    @property
    def host_port(self) -> str:
        """The host's port in the API: "", "8080" or "9100-9110"."""
        if self.host_ports is None:
            return ""
        first, last = self.host_ports
        return str(first) if first == last else f"{first}-{last}"


def parse_publish(written: str) -> tuple[Publish, ...]:
    """Parse the value of one ``-p``: ``[address:][port[-port]:]port[-port][/protocol]``.

    Raises:
        ValueError: it is invalid, or its ranges differ in length.
    """
    rest, _, protocol = written.partition("/")
    address, host, container = _parts(rest)
    ports = _range(container)
    chosen: list[tuple[int, int] | None]
    if not host:
        chosen = [None] * len(ports)
    elif len(ports) == 1:
        chosen = [(_range(host)[0], _range(host)[-1])]
    else:
        chosen = [(port, port) for port in _range(host)]
    if len(chosen) != len(ports):
        raise ValueError(f"{written!r}: the ranges differ in length")
    host_address = ip_address(address) if address else None
    return tuple(Publish(port, protocol or "tcp", host_address, host) for port, host in zip(ports, chosen, strict=True))


def _parts(written: str) -> tuple[str, str, str]:
    """Split into address, host ports and container ports; an IPv6 address is in brackets."""
    if written.startswith("["):
        address, _, ports = written[1:].partition("]:")
        host, _, container = ports.rpartition(":")
    else:
        before, _, container = written.rpartition(":")
        address, _, host = before.rpartition(":")
    return address, host, container


def _range(written: str) -> range:
    first, _, last = written.partition("-")
    return range(int(first), int(last or first) + 1)


def assign_host_ports(
    requests: Iterable[Publish],
    families: Families,
    taken: Collection[PortBinding],
    kept: Mapping[Publish, int],
    ephemeral: Iterator[int],
) -> dict[Publish, int]:
    """Assign a host port to every request.

    Args:
        requests: of one container.
        families: that can be published; a request for another family gets no port.
        taken: bindings of other containers.
        kept: ports that the container has already.
        ephemeral: supplies the ports that the engine chooses.

    Raises:
        EngineConflict: a port is taken.
    """
    chosen: dict[Publish, int] = {}
    for requested in requests:
        if not addresses(requested, families):
            continue
        others = [*taken, *bindings(chosen, families)]
        known = kept.get(requested)
        chosen[requested] = known if known is not None else _assign_host_port(requested, families, others, ephemeral)
    return chosen


def _assign_host_port(
    requested: Publish, families: Families, taken: Collection[PortBinding], ephemeral: Iterator[int]
) -> int:
    first, last = requested.host_ports or (0, 0)
    candidates: Iterable[int] = range(first, last + 1) if requested.host_ports else ephemeral
    for port in candidates:
        if not any(_clash(one, other) for one in bindings({requested: port}, families) for other in taken):
            return port
    address = addresses(requested, families)[0]
    raise api_errors.from_response(
        500,
        "driver failed programming external connectivity on endpoint: "
        f"Bind for {address}:{last} failed: port is already allocated",
    )


def _clash(one: PortBinding, other: PortBinding) -> bool:
    if (one.protocol, one.host_port) != (other.protocol, other.host_port):
        return False
    mine, theirs = one.host_address, other.host_address
    if mine is None or theirs is None or mine.version != theirs.version:
        return False
    return mine == theirs or mine in _ANY or theirs in _ANY


def addresses(requested: Publish, families: Families) -> tuple[AnyAddress, ...]:
    """Return the host addresses that a request binds."""
    wanted = _ANY if requested.host_address is None else (requested.host_address,)
    return tuple(
        address for address in wanted if (families.ipv4 if isinstance(address, IPv4Address) else families.ipv6)
    )


def bindings(chosen: Mapping[Publish, int], families: Families) -> tuple[PortBinding, ...]:
    """Return the bindings that the engine lists for assigned ports; unordered."""
    return tuple(
        PortBinding(requested.protocol, requested.container_port, port, address)
        for requested, port in chosen.items()
        for address in addresses(requested, families)
    )


@dataclass(slots=True)
class Entry:
    """A container's configuration for one network, and its endpoint while it runs."""

    requested: Attachment  # by the user; addresses in use are in `endpoint`
    network_id: str = ""  # unknown until the container first runs on it
    endpoint: Endpoint | None = None


@dataclass(slots=True)
class FakeContainer:
    """A container, running or not."""

    id: str
    name: str
    created: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)  # set at its creation
    image_labels: Mapping[str, str] = field(default_factory=dict)
    image_problem: str = ""  # why its image can't be inspected
    network_mode: str = "default"
    publish: tuple[Publish, ...] = ()
    running: bool = False
    paused: bool = False
    entries: dict[str, Entry] = field(default_factory=dict)  # by the network's name
    host_ports: dict[Publish, int] = field(default_factory=dict)  # assigned while it runs
    families: Families = NOTHING

    @property
    def bindings(self) -> tuple[PortBinding, ...]:
        """The host ports that are bound to it."""
        bound = tuple(sorted(bindings(self.host_ports, self.families), key=port_order))
        if not is_ambiguous(bound):
            return bound
        asked = (
            RequestedPort(p.protocol, p.container_port, str(p.host_address or ""), p.host_port) for p in self.publish
        )
        return marked(bound, asked)

    def view(self) -> Container:
        """Return its entry in a listing."""
        labels = {**self.image_labels, **self.labels}
        own = {} if self.image_problem else labels_at_creation(labels, self.image_labels)
        return Container(
            id=self.id,
            name=self.name,
            created=self.created,
            labels=own,
            image_labels={key: value for key, value in labels.items() if key not in own},
            image_problem=self.image_problem if labels else "",
            ports=self.bindings,
            endpoints=tuple(
                ContainerEndpoint(
                    entry.network_id, name, entry.endpoint.ipv6 if entry.endpoint else None, entry.requested.gw_priority
                )
                for name, entry in sorted(self.entries.items())
            ),
            network_mode=self.network_mode,
        )


def families(networks: Iterable[Network], *, userland_proxy: bool) -> Families:
    """Return the families in which a container on these networks can publish ports.

    Only bridges that are not internal publish ports. The userland proxy forwards from IPv6 to an IPv4-only container.
    """
    publishing = [network for network in networks if network.driver == "bridge" and not network.internal]
    ipv4 = any(network.enable_ipv4 for network in publishing)
    ipv6 = any(network.enable_ipv6 for network in publishing)
    return Families(ipv4=ipv4, ipv6=ipv6 or (ipv4 and userland_proxy))


def listed_network_mode(networks: Collection[str], requested: str | None, containers: Collection[FakeContainer]) -> str:
    """Return a new container's network mode as in listings: the first network, or another container by its id.

    Raises:
        EngineApiError: the mode excludes networks.
        ContainerNotFound: the container of the mode does not exist.
    """
    mode = requested or next(iter(networks), "default")
    kind, _, other = mode.partition(":")
    if kind in {"host", "none", "container"} and any(network != mode for network in networks):
        raise api_errors.from_response(400, _PRIVATE if kind == "none" else _SHARED)
    if kind != "container":
        return mode
    found = next((one.id for one in containers if other in {one.id, one.name}), None)
    if found is None:
        raise api_errors.from_response(404, f"No such container: {other}")
    return f"container:{found}"


def check_network(container: FakeContainer, network: Network, version: EngineVersion) -> None:
    """Reject a network for a container that shares a network namespace, as engines do.

    Raises:
        EngineApiError: the network mode excludes it.
    """
    mode = container.network_mode
    # a stopped container in mode "container:<id>" is accepted; on engines >= 28 it then fails to start
    if mode == "host" or (mode.startswith("container:") and container.running):
        raise api_errors.from_response(400, _SHARED)
    if network.driver == "host":
        raise api_errors.from_response(400, version.connect_to_host_network)
    if container.entries and (network.driver == "null" or "none" in container.entries):
        raise api_errors.from_response(400, _PRIVATE)
