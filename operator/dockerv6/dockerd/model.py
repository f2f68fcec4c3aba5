"""What the operator knows of a Docker Engine, its networks and their endpoints.

Values only. Field names follow the Engine API (https://docs.docker.com/engine/api/) in snake case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

BRIDGE_NAME = "com.docker.network.bridge.name"


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine's identity and abilities, from ``GET /version`` and ``GET /info``."""

    id: str
    name: str  # the host's name as the engine reports it
    version: str  # as reported, such as "20.10.24+dfsg1"
    release: tuple[int, int]  # (20, 10); (0, 0) for a development build without a number
    api_version: str  # the highest that it speaks, such as "1.41"
    firewall_backend: str | None = None  # engine >= 28.2: "iptables" or "nftables"; None: older, or it never used one


@dataclass(frozen=True, slots=True)
class SubnetConfig:
    """One entry of a network's ``IPAM.Config``."""

    subnet: IPv4Network | IPv6Network
    gateway: IPv4Address | IPv6Address | None = None  # absent in inspect when the creator gave none (engine >= 20.10)
    ip_range: IPv4Network | IPv6Network | None = None
    aux_addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running container's end on a network, from a network's inspect."""

    container_id: str
    container_name: str
    endpoint_id: str
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """A Docker network.

    ``endpoints`` is None when it came from the list call, which does not carry them; an inspected network has a tuple.
    """

    id: str
    name: str
    driver: str
    scope: str = "local"
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    enable_ipv4: bool = True  # engines < 28 do not report it: they always have IPv4
    enable_ipv6: bool = False
    ipam: tuple[SubnetConfig, ...] = ()  # IPv4 first, whatever order the engine gave
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] | None = None

    @property
    def bridge(self) -> str | None:
        """The host's bridge interface, or None for drivers that have none."""
        if self.driver != "bridge":
            return None
        return self.options.get(BRIDGE_NAME) or f"br-{self.id[:12]}"

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
    """What to create, as ``POST /networks/create`` wants it."""

    name: str
    driver: str = "bridge"
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True  # False is only understood by engine >= 28 (API 1.48); older ones ignore it silently
    enable_ipv6: bool = True
    ipam: tuple[SubnetConfig, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attachment:
    """How a container is attached to one network: what a re-attachment must say again.

    From ``GET /containers/{id}/json``: ``NetworkSettings.Networks``. Includes stopped containers.

    A MAC address survives a re-attachment only where the engine lets it: 20.10 keeps the container's own by itself,
    API >= 1.54 takes ours, and the versions between drop it (measured with 26.1 and 28.5).
    """

    container_id: str
    container_name: str
    running: bool
    aliases: tuple[str, ...] = ()  # without the short container id that the engine adds by itself
    links: tuple[str, ...] = ()
    ipv4: IPv4Address | None = None  # the address in use
    ipv6: IPv6Address | None = None
    static_ipv4: IPv4Address | None = None  # asked for by the user (IPAMConfig)
    static_ipv6: IPv6Address | None = None
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    gw_priority: int = 0  # engine >= 28
    mac_address: str | None = None  # asked for by the user; only known on the container's first network
    link_local_ips: tuple[str, ...] = ()  # extra addresses of the endpoint (IPAMConfig.LinkLocalIPs)


@dataclass(frozen=True, slots=True)
class PortBinding:
    """One port of the host that the engine has given to a container's port (``docker run -p``)."""

    protocol: str  # "tcp", "udp" or "sctp"
    container_port: int
    host_port: int  # the one in force, also where the user left the choice to the engine
    host_address: IPv4Address | IPv6Address | None = None  # 0.0.0.0, :: and specific ones; None: the engine said none


@dataclass(frozen=True, slots=True)
class ContainerEndpoint:
    """A running container's end on one network."""

    network_id: str
    network_name: str
    ipv6: IPv6Address | None = None  # None: the network has no IPv6, or the address is not given out yet
    gw_priority: int = 0  # engine >= 28


@dataclass(frozen=True, slots=True)
class Container:
    """A running container, from ``GET /containers/json``: one request tells of all of them."""

    id: str
    name: str
    created: int  # Unix seconds
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[PortBinding, ...] = ()  # only those that are bound on the host
    endpoints: tuple[ContainerEndpoint, ...] = ()  # by the network's name
    network_mode: str = "default"  # HostConfig.NetworkMode: "host", "none" and "container:<id>" take no other network


class EventKind(StrEnum):
    """What an engine event is about. It only says where to look again (level-based)."""

    NETWORK = "network"
    CONTAINER = "container"
    CONNECTED = "connected"  # the event stream is (again) open: anything may have happened before


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """A hint that something changed."""

    kind: EventKind
    action: str  # create, destroy, connect, disconnect, start, die, rename, ...
    network_id: str | None = None
    network_name: str | None = None
    container_id: str | None = None
