"""The blocks that IPv6Network and IPv6Policy share: egress, publish, firewall and ndpProxy."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated

from pydantic import AfterValidator, Field

from dockerv6.api.errors import FieldError
from dockerv6.api.meta import DockerKey, Model, Name, invalid_value
from dockerv6.api.values import (
    Address6,
    AddressOrPrefix6,
    Flag,
    InterfaceField,
    Port,
    Subnet6,
    Unicast6,
    reserved_range,
)
from dockerv6.lib.networking import EgressMode, TransportProtocol

_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)


TRANSLATING_MODES = frozenset({EgressMode.MASQUERADE, EgressMode.SNAT, EgressMode.PREFIX_TRANSLATION})
"""The modes that translate addresses."""


class PrefixFrom(Model):
    """The source of a prefix that changes with the prefix of an interface."""

    interface: InterfaceField = Field(
        description="The interface whose global prefix (delegated, advertised or static) is used, such as `eth0`."
    )


class Egress(Model):
    """How packets leave the network."""

    mode: EgressMode = Field(
        EgressMode.MASQUERADE,
        description="`Masquerade`: the source address becomes that of the outgoing interface (NAT66). `SNAT`: the "
        "source address becomes `snatAddress`. `PrefixTranslation`: the prefix of the network is translated to another "
        "prefix in both directions, and the rest of the address stays (like NPTv6, RFC 6296, with connection "
        "tracking). `Routed`: packets are not translated and are accepted by the host's filter; the subnet must be "
        "routed to this host, or be on-link with `ndpProxy`. `None`: dockerv6 does not handle outgoing packets. "
        "Default: `Masquerade`.",
    )
    snat_address: Unicast6 | None = Field(
        None, description="The source address for `SNAT`. It must be an address of the host to receive replies."
    )
    prefix: Subnet6 | None = Field(
        None,
        description="The fixed prefix that `PrefixTranslation` translates to. If it is shorter than the subnet, the "
        "bits between the two lengths are those of the subnet.",
    )
    prefix_from: PrefixFrom | None = Field(
        None,
        description="The source of the prefix for `PrefixTranslation`, instead of `prefix`. When the provider changes "
        "the prefix, the translation changes too; the previous prefix is accepted until its lifetime ends.",
    )
    interfaces: tuple[InterfaceField, ...] = Field(
        (),
        description="Outgoing interfaces for which packets are translated (or routed). Default: all except the bridge "
        "of the network.",
    )
    exclude: tuple[AddressOrPrefix6, ...] = Field(
        (),
        description="Destination addresses and prefixes for which packets are not translated, such as those of a VPN. "
        "Default: none.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """Check that the fields of the mode are set, and no fields of other modes."""
        if self.mode is EgressMode.SNAT and self.snat_address is None:
            yield FieldError(
                ("snatAddress",),
                "is required with mode SNAT",
                "write the address of the host that packets get as source, or mode: Masquerade",
            )
        if self.mode is not EgressMode.SNAT and self.snat_address is not None:
            yield FieldError(("snatAddress",), f"has no effect with mode {self.mode}", "write mode: SNAT, or remove it")
        yield from self._prefix_errors()
        if self.mode is EgressMode.NONE and self.interfaces:
            yield FieldError(("interfaces",), "has no effect with mode None", "choose another mode, or remove it")
        if self.mode not in TRANSLATING_MODES and self.exclude:
            yield FieldError(
                ("exclude",),
                f"has no effect with mode {self.mode}, which does not translate addresses",
                "remove it, or choose another mode",
            )

    def _prefix_errors(self) -> Iterator[FieldError]:
        sources = [
            name for name, value in (("prefix", self.prefix), ("prefixFrom", self.prefix_from)) if value is not None
        ]
        if self.mode is not EgressMode.PREFIX_TRANSLATION:
            for name in sources:
                yield FieldError(
                    (name,), f"has no effect with mode {self.mode}", "write mode: PrefixTranslation, or remove it"
                )
        elif not sources:
            yield FieldError(
                ("prefix",),
                "mode PrefixTranslation requires prefix or prefixFrom",
                "write prefixFrom: {interface: eth0}, or a prefix",
            )
        elif len(sources) > 1:
            yield FieldError(("prefix",), "prefix and prefixFrom are mutually exclusive", "keep one of them")

    def subnet_errors(self, subnet: IPv6Network | None) -> Iterator[FieldError]:
        """Errors with the fixed subnet of the network. Paths start at this model."""
        if subnet is not None and self.prefix is not None and self.prefix.prefixlen > subnet.prefixlen:
            yield FieldError(
                ("prefix",),
                f"{self.prefix} has fewer addresses than the subnet {subnet}",
                f"write a prefix of length {subnet.prefixlen} or shorter",
            )


def _container(name: str) -> str:
    if not _CONTAINER.fullmatch(name):
        raise invalid_value(
            f"{name!r} is not a valid container name: use at least two letters, digits, '_', '.' or '-', and start "
            f"with a letter or digit",
            "`docker ps` lists the names",
        )
    return name


ContainerName = Annotated[str, AfterValidator(_container)]


class ContainerSelector(Model):
    """Selects containers of a network: one by name, or all with the labels."""

    name: ContainerName | None = Field(None, description="The container with this name.")
    match_labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description="Containers that have all of these Docker labels with these values, such as "
        "`com.docker.compose.service: web`. Labels that come from the image do not count.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """Check that exactly one of the fields is set."""
        if self.name is not None and self.match_labels:
            yield FieldError(("name",), "name and matchLabels are mutually exclusive", "keep one of them")
        if self.name is None and not self.match_labels:
            yield FieldError((), "selects no container", "write name or matchLabels")


ANY_ADDRESS = IPv6Address("::")


def _host_address_errors(address: IPv6Address | None) -> Iterator[FieldError]:
    if address is None or address == ANY_ADDRESS or address.is_loopback:
        return
    special = reserved_range(IPv6Network(address))
    if special:
        yield FieldError(
            ("hostAddress",),
            f"{address} is in {special[0]} ({special[1]})",
            'write an address of the host, or "::" for all addresses',
        )


class PublishedPort(Model):
    """A port that is published in addition to those of the containers."""

    name: Name | None = Field(
        None, description="Name of the port in messages, unique in the resource. Default: protocol and port."
    )
    protocol: TransportProtocol = Field(TransportProtocol.TCP, description="`tcp`, `udp` or `sctp`. Default: `tcp`.")
    port: Port = Field(description="The port on the host, 1 to 65535.")
    containers: ContainerSelector = Field(
        description="The containers behind the port. If several match, the one that was started first gets the "
        "connections; another one takes over when it stops."
    )
    target_port: Port | None = Field(None, description="The port of the container. Default: the same as `port`.")
    from_prefixes: tuple[AddressOrPrefix6, ...] = Field(
        (), alias="from", description="Addresses and prefixes of clients that may connect. Default: any."
    )
    host_address: Address6 | None = Field(
        None, description="The address of the host to publish the port on. Default: `publish.hostAddress`."
    )
    force: Flag = Field(
        False,
        description="Whether the port is taken from a process of the host that listens on it, and from well-known "
        "services of the host: SSH, the Docker API, dockerv6 itself, and any service with a TCP connection on that "
        "port, such as an administrator's session. Default: `false`.",
    )

    @property
    def container_port(self) -> int:
        """The port of the container."""
        return self.target_port if self.target_port is not None else self.port

    def field_errors(self) -> Iterator[FieldError]:
        """Check that the address can be an address of the host."""
        return _host_address_errors(self.host_address)


class IPv4Wildcard(StrEnum):
    """The meaning of a port that is published on 0.0.0.0."""

    IPV4 = "IPv4"  # IPv4 only, as engines have it
    BOTH = "Both"  # IPv6 as well, as docker-ipv6nat has it


class Publish(Model):
    """Published ports: ports of containers that are reachable at addresses of the host."""

    from_containers: Flag = Field(
        True,
        description="Also publish over IPv6 the ports that attached containers publish with `docker run -p` or Compose "
        "`ports:`. Default: `true`.",
    )
    host_address: Address6 = Field(
        ANY_ADDRESS,
        description="The address of the host to publish a port on when the container specifies no IPv6 address. "
        'Default: `"::"`, all addresses.',
    )
    ipv4_wildcard: IPv4Wildcard = Field(
        IPv4Wildcard.IPV4,
        alias="ipv4Wildcard",
        description="What a port means that a container publishes on the address `0.0.0.0`, as in `docker run -p"
        " 0.0.0.0:8080:80`. `IPv4`: it is published over IPv4 only, as engines do. `Both`: it is published over IPv6"
        " too, as docker-ipv6nat did. A port without an address is published over both. Default: `IPv4`.",
    )
    ports: tuple[PublishedPort, ...] = Field((), description="Additional ports to publish. Default: none.")

    def field_errors(self) -> Iterator[FieldError]:
        """Check that ports of the host, and names, are unique."""
        yield from _host_address_errors(self.host_address)
        taken: dict[tuple[TransportProtocol, int, IPv6Address], int] = {}
        names: dict[str, int] = {}
        for index, port in enumerate(self.ports):
            address = port.host_address or self.host_address
            first = taken.setdefault((port.protocol, port.port, address), index)
            if first != index:
                where = f"{port.protocol} port {port.port} on {address}"
                yield FieldError(
                    ("ports", index, "port"),
                    f"{where} is already published by ports[{first}]",
                    "choose another port, or remove one of them",
                )
            if port.name is not None and names.setdefault(port.name, index) != index:
                yield FieldError(
                    ("ports", index, "name"), f"ports[{names[port.name]}] has the same name", "choose another name"
                )


class IngressPort(Model):
    """A port that an ingress rule accepts."""

    protocol: TransportProtocol = Field(TransportProtocol.TCP, description="`tcp`, `udp` or `sctp`. Default: `tcp`.")
    port: Port = Field(description="The container's port, 1 to 65535.")


class IngressRule(Model):
    """Connections from outside that are accepted to the address of a container, or to its translated address."""

    from_prefixes: tuple[AddressOrPrefix6, ...] = Field(
        (), alias="from", description="Addresses and prefixes of clients. Default: any."
    )
    ports: tuple[IngressPort, ...] = Field((), description="Ports of the containers. Default: all.")
    containers: ContainerSelector | None = Field(
        None, description="Containers that are reachable. Default: all containers of the network."
    )


class Firewall(Model):
    """Filtering of connections to the containers of the network."""

    isolation: Flag = Field(
        True,
        description="Whether containers of other networks are blocked, except through published ports. "
        "Default: `true`.",
    )
    source_validation: Flag = Field(
        True,
        description="Whether packets of containers are dropped whose source address is not in a subnet of the network. "
        "Write `false` if a container routes for others, such as a VPN gateway. Default: `true`.",
    )
    ingress: tuple[IngressRule, ...] = Field(
        (),
        description="Additional incoming connections to accept. Published ports, established flows and required ICMPv6 "
        "(RFC 4890 §4.3) are always accepted. Default: none.",
    )


class NdpProxy(Model):
    """NDP proxy: the host answers neighbour solicitations for containers, for a prefix that is on-link, not routed."""

    enabled: Flag = Field(
        False,
        description="Whether the host answers neighbour solicitations for the running containers of the network (with "
        "`PrefixTranslation`, for their translated addresses). A VPS with one on-link /64 needs this. Default: "
        "`false`.",
    )
    interface: InterfaceField | None = Field(
        None,
        description="The interface to answer on. Default: the interface with the prefix that contains the subnet of "
        "the network, or the prefix that it is translated to.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """Check that the interface is set only with enabled."""
        if self.interface is not None and not self.enabled:
            yield FieldError(
                ("interface",), "has no effect while enabled is false", "write enabled: true, or remove it"
            )


def ndp_proxy_errors(egress: Egress, proxy: NdpProxy) -> Iterator[FieldError]:
    """Errors that concern egress and ndpProxy. Paths start at the spec."""
    if proxy.enabled and egress.mode in {EgressMode.MASQUERADE, EgressMode.SNAT}:
        yield FieldError(
            ("ndpProxy", "enabled"),
            f"has no effect with egress.mode {egress.mode}, which hides the addresses of containers",
            "write egress.mode: Routed, or remove ndpProxy",
        )
