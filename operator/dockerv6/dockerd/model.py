"""Values for a Docker Engine, its networks, containers and events.

Field names follow the Engine API (https://docs.docker.com/engine/api/) in snake case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from dockerv6.lib.networking import InterfaceName, interface_name

BRIDGE_NAME = "com.docker.network.bridge.name"
COMPOSE_PROJECT = "com.docker.compose.project"
COMPOSE_SERVICE = "com.docker.compose.service"
PROBE_LABEL = "dockerv6.io/probe"
"""Of the temporary containers of `dockerv6 doctor --probe`: the state directory of the installation."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine's identity and abilities, from ``GET /version`` and ``GET /info``."""

    name: str  # the host's name as the engine reports it
    version: str  # as reported, such as "20.10.24+dfsg1"
    release: tuple[int, int]  # (20, 10); (0, 0) for a development build
    api_version: str  # the highest that it offers, such as "1.41"
    firewall_backend: str | None = None  # engine >= 28.2: "iptables" or "nftables"; None: older, or not in use
    podman: bool = False  # Podman's imitation of the API
    rootless: bool = False  # its networks are in a namespace of its own
    swarm: bool = False  # a node of a swarm
    live_restore: bool = False  # containers keep running while the engine does not


@dataclass(frozen=True, slots=True)
class SubnetConfig:
    """One entry of a network's ``IPAM.Config``."""

    subnet: IPv4Network | IPv6Network
    gateway: IPv4Address | IPv6Address | None = None  # absent in inspect when the creator gave none (engine >= 20.10)
    ip_range: IPv4Network | IPv6Network | None = None
    aux_addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running container's endpoint on a network, from the network's inspect."""

    container_id: str
    container_name: str
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """A Docker network.

    ``endpoints`` is None in a listing, which does not include them; an inspected network has a tuple.
    """

    id: str
    name: str
    driver: str
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True  # engines < 28 do not report it: they always enable IPv4
    enable_ipv6: bool = False
    ipam: tuple[SubnetConfig, ...] = ()  # IPv4 first
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] | None = None
    ipam_driver: str = "default"
    problem: str = ""
    """Which fields could not be decoded. The network is then nobody's: it is neither changed nor taken for absent."""

    @property
    def bridge(self) -> InterfaceName | None:
        """The bridge interface on the host; None for drivers without one."""
        if self.driver != "bridge":
            return None
        return interface_name(self.options.get(BRIDGE_NAME) or f"br-{self.id[:12]}")

    @property
    def ipv6(self) -> tuple[SubnetConfig, ...]:
        """The IPv6 entries of ``ipam``."""
        return tuple(c for c in self.ipam if isinstance(c.subnet, IPv6Network))

    @property
    def ipv4(self) -> tuple[SubnetConfig, ...]:
        """The IPv4 entries of ``ipam``."""
        return tuple(c for c in self.ipam if isinstance(c.subnet, IPv4Network))


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network to create, with the fields of ``POST /networks/create``."""

    name: str
    driver: str = "bridge"
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True  # False needs engine >= 28 (API 1.48); older ones ignore it silently
    enable_ipv6: bool = True
    ipam: tuple[SubnetConfig, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attachment:
    """The settings with which a container, running or stopped, is attached to one network.

    From ``GET /containers/{id}/json``: ``NetworkSettings.Networks``. A re-attachment sends them again.

    A MAC address survives a re-attachment on some engines only: 20.10 keeps the container's own, API >= 1.54 accepts
    ours, and the versions in between discard it (measured with 26.1 and 28.5).
    """

    container_id: str
    container_name: str
    running: bool
    aliases: tuple[str, ...] = ()  # without the short container id that the engine adds
    links: tuple[str, ...] = ()
    ipv4: IPv4Address | None = None  # the address in use
    ipv6: IPv6Address | None = None
    static_ipv4: IPv4Address | None = None  # requested by the user (IPAMConfig)
    static_ipv6: IPv6Address | None = None
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    gw_priority: int = 0  # engine >= 28
    mac_address: str | None = None  # requested by the user; known on the container's first network only
    link_local_ips: tuple[str, ...] = ()  # extra addresses of the endpoint (IPAMConfig.LinkLocalIPs)
    problem: str = ""  # why the container can't be inspected now; "": it can
    complete: bool = True  # False: it never was inspected, so that only what a listing has is known


@dataclass(frozen=True, slots=True)
class PortBinding:
    """A host port that the engine has bound to a container's port (``docker run -p``)."""

    protocol: str  # "tcp", "udp" or "sctp"
    container_port: int
    host_port: int  # as bound, also where the engine chose it
    host_address: IPv4Address | IPv6Address | None = None  # 0.0.0.0, :: or a specific one; None: not reported
    ipv4_only: bool = False  # a person wrote 0.0.0.0, see `port_bindings`


@dataclass(frozen=True, slots=True)
class ContainerEndpoint:
    """A running container's endpoint on one network, from a listing."""

    network_id: str
    network_name: str
    ipv6: IPv6Address | None = None  # None: the network has no IPv6, or no address is assigned yet
    gw_priority: int = 0  # engine >= 28


@dataclass(frozen=True, slots=True)
class Container:
    """A running container, from ``GET /containers/json``.

    Attributes:
        labels: set when the container was created (see `images`). Selectors use no others.
        image_labels: the others. They come from the image, or their origin is unknown.
        image_problem: why the image can't be inspected, so that the origin of all labels is unknown; "": it can.
    """

    id: str
    name: str
    created: int  # Unix seconds
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[PortBinding, ...] = ()  # only those bound on the host
    endpoints: tuple[ContainerEndpoint, ...] = ()  # ordered by the network's name
    network_mode: str = "default"  # HostConfig.NetworkMode: "host", "none" and "container:<id>" exclude other networks
    image_labels: Mapping[str, str] = field(default_factory=dict)
    image_problem: str = ""


class EventKind(StrEnum):
    """What an engine event concerns. It is a trigger only: the state is read again."""

    NETWORK = "network"
    CONTAINER = "container"
    CONNECTED = "connected"  # the event stream is open (again): earlier events may have been missed


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """A notification that something may have changed."""

    kind: EventKind
    action: str  # create, destroy, connect, disconnect, start, die, rename, ...
    network_id: str | None = None
    network_name: str | None = None
    container_id: str | None = None
    container_name: str | None = None  # only in events of containers
