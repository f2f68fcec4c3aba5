"""The blocks that IPv6Network and IPv6Policy share: egress, publish, firewall and ndpProxy."""

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated

from pydantic import AfterValidator, Field

from dockerv6.api.errors import FieldError
from dockerv6.api.meta import DockerKey, Model, Name, invalid_value
from dockerv6.api.values import (
    Address6,
    AddressOrPrefix6,
    Flag,
    Interface,
    Port,
    Subnet6,
    Unicast6,
    reserved_range,
)
from dockerv6.lib.networking import EgressMode, TransportProtocol

_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)


TRANSLATING_MODES = frozenset({EgressMode.MASQUERADE, EgressMode.SNAT, EgressMode.PREFIX_TRANSLATION})
"""The modes that change addresses."""


class PrefixFrom(Model):
    """A prefix that follows an interface."""

    interface: Interface = Field(
        description="The interface whose global prefix is used, delegated, advertised or static, such as `eth0`."
    )


class Egress(Model):
    """How packets leave the network."""

    mode: EgressMode = Field(
        EgressMode.MASQUERADE,
        description="`Masquerade`: the source becomes the address of the outgoing interface (NAT66). `SNAT`: it "
        "becomes `snatAddress`. "
        "`PrefixTranslation`: the network's prefix is exchanged for another one, the rest of the address stays, both "
        "ways (NPTv6, RFC 6296, with connection tracking). "
        "`Routed`: untranslated and allowed through the host's filter; the subnet must be routed to this host, or be "
        "on-link with `ndpProxy`. "
        "`None`: dockerv6 does nothing about packets that leave. Default: `Masquerade`.",
    )
    snat_address: Unicast6 | None = Field(
        None, description="The source address that `SNAT` gives. Replies need it to be one of the host's."
    )
    prefix: Subnet6 | None = Field(
        None,
        description="The fixed prefix that `PrefixTranslation` exchanges the network's for. Where it is shorter than "
        "the subnet, the subnet's bits behind it stay.",
    )
    prefix_from: PrefixFrom | None = Field(
        None,
        description="Where `PrefixTranslation` takes its prefix from, instead of a fixed one; it follows when the "
        "provider changes it, and the former one leads in until its lifetime ends.",
    )
    interfaces: tuple[Interface, ...] = Field(
        (),
        description="Interfaces out of which packets are translated (or routed). Default: any but the network's own "
        "bridge.",
    )
    exclude: tuple[AddressOrPrefix6, ...] = Field(
        (),
        description="Destination addresses and prefixes to which packets go untranslated, such as a VPN's. Default: "
        "none.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """Every mode needs its own fields and no other's."""
        if self.mode is EgressMode.SNAT and self.snat_address is None:
            yield FieldError(
                ("snatAddress",),
                "mode SNAT needs it",
                "write the host's address that packets shall come from, or mode: Masquerade",
            )
        if self.mode is not EgressMode.SNAT and self.snat_address is not None:
            yield FieldError(
                ("snatAddress",), f"it has no effect with mode {self.mode}", "write mode: SNAT, or remove it"
            )
        yield from self._prefix_errors()
        if self.mode is EgressMode.NONE and self.interfaces:
            yield FieldError(
                ("interfaces",), "they have no effect with mode None", "choose another mode, or remove them"
            )
        if self.mode not in TRANSLATING_MODES and self.exclude:
            yield FieldError(
                ("exclude",),
                f"mode {self.mode} translates nothing, so nothing can be excluded",
                "remove it, or choose another mode",
            )

    def _prefix_errors(self) -> Iterator[FieldError]:
        given = [
            name for name, value in (("prefix", self.prefix), ("prefixFrom", self.prefix_from)) if value is not None
        ]
        if self.mode is not EgressMode.PREFIX_TRANSLATION:
            for name in given:
                yield FieldError(
                    (name,), f"it has no effect with mode {self.mode}", "write mode: PrefixTranslation, or remove it"
                )
        elif not given:
            yield FieldError(
                ("prefix",),
                "mode PrefixTranslation needs prefix or prefixFrom",
                "write prefixFrom: {interface: eth0}, or a prefix",
            )
        elif len(given) > 1:
            yield FieldError(("prefix",), "prefix and prefixFrom exclude one another", "keep one of them")

    def subnet_errors(self, subnet: IPv6Network | None) -> Iterator[FieldError]:
        """What is wrong given the network's fixed subnet; paths start at this model."""
        if subnet is not None and self.prefix is not None and self.prefix.prefixlen > subnet.prefixlen:
            yield FieldError(
                ("prefix",),
                f"{self.prefix} has fewer addresses than the subnet {subnet}",
                f"write a prefix of length {subnet.prefixlen} or shorter",
            )


def _container(name: str) -> str:
    if not _CONTAINER.fullmatch(name):
        raise invalid_value(
            f"{name!r} can't be a container's name: two or more of letters, digits, '_', '.' and '-', beginning with "
            f"a letter or digit",
            "`docker ps` shows the names",
        )
    return name


ContainerName = Annotated[str, AfterValidator(_container)]


class ContainerSelector(Model):
    """Which containers of a network: one by its name, or all that carry the labels."""

    name: ContainerName | None = Field(None, description="The container with exactly this name.")
    match_labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description="Containers that carry all of these Docker labels with these values, such as "
        "`com.docker.compose.service: web`.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """One way to choose, not both and not neither."""
        if self.name is not None and self.match_labels:
            yield FieldError(("name",), "name and matchLabels exclude one another", "keep one of them")
        if self.name is None and not self.match_labels:
            yield FieldError((), "selects no container", "give name or matchLabels")


ANY_ADDRESS = IPv6Address("::")
_MULTICAST = IPv6Network("ff00::/8")


def _host_address_errors(address: IPv6Address | None) -> Iterator[FieldError]:
    if address is None or address == ANY_ADDRESS or address.is_loopback:
        return
    special = reserved_range(IPv6Network(address))
    if special:
        yield FieldError(
            ("hostAddress",),
            f"{address} is one of {special[0]} ({special[1]})",
            'write an address of the host, or "::" for all',
        )


class PublishedPort(Model):
    """A port that is published whatever the containers themselves ask for."""

    name: Name | None = Field(
        None, description="A name for messages, unique in the resource. Default: the protocol and port."
    )
    protocol: TransportProtocol = Field(TransportProtocol.TCP, description="`tcp`, `udp` or `sctp`. Default: `tcp`.")
    port: Port = Field(description="The port on the host, 1 to 65535.")
    containers: ContainerSelector = Field(
        description="The containers that answer. With several, the one that started first; the others take over when "
        "it stops."
    )
    target_port: Port | None = Field(None, description="The port in the container. Default: the same as `port`.")
    from_prefixes: tuple[AddressOrPrefix6, ...] = Field(
        (), alias="from", description="Addresses and prefixes of clients that may connect. Default: everybody."
    )
    host_address: Address6 | None = Field(
        None, description="The host's address on which the port is open. Default: that of `publish.hostAddress`."
    )

    @property
    def container_port(self) -> int:
        """The port in the container."""
        return self.target_port if self.target_port is not None else self.port

    def field_errors(self) -> Iterator[FieldError]:
        """The host's address must be one that a host can have."""
        return _host_address_errors(self.host_address)


class Publish(Model):
    """Which ports of containers can be reached through the host's addresses."""

    from_containers: Flag = Field(
        True,
        description="Publish over IPv6 what `docker run -p` and Compose's `ports:` of attached containers publish. "
        "Default: `true`.",
    )
    host_address: Address6 = Field(
        ANY_ADDRESS,
        description="The host's address on which a port is open when the container names no IPv6 address. "
        'Default: `"::"`, all of them.',
    )
    ports: tuple[PublishedPort, ...] = Field((), description="More ports to publish. Default: none.")

    def field_errors(self) -> Iterator[FieldError]:
        """A port of the host leads to one place, and a name is one port's."""
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
                    "choose another port, or remove one",
                )
            if port.name is not None and names.setdefault(port.name, index) != index:
                yield FieldError(
                    ("ports", index, "name"), f"ports[{names[port.name]}] has the same name", "choose another name"
                )


class IngressPort(Model):
    """A port that an ingress rule opens."""

    protocol: TransportProtocol = Field(TransportProtocol.TCP, description="`tcp`, `udp` or `sctp`. Default: `tcp`.")
    port: Port = Field(description="The container's port, 1 to 65535.")


class IngressRule(Model):
    """Connections that may come in from outside, to a container's own address or, translated, to its outer one."""

    from_prefixes: tuple[AddressOrPrefix6, ...] = Field(
        (), alias="from", description="Addresses and prefixes of clients. Default: everybody."
    )
    ports: tuple[IngressPort, ...] = Field((), description="Ports that may be reached. Default: all.")
    containers: ContainerSelector | None = Field(
        None, description="Containers that may be reached. Default: all of the network."
    )


class Firewall(Model):
    """Who may reach the network's containers."""

    isolation: Flag = Field(
        True,
        description="Containers of other networks can't reach this network's, except through published ports. "
        "Default: `true`.",
    )
    ingress: tuple[IngressRule, ...] = Field(
        (),
        description="What else may come in. Default: nothing but published ports, established flows and the ICMPv6 "
        "that must pass "
        "(RFC 4890 §4.3).",
    )


class NdpProxy(Model):
    """Answers to neighbour solicitations on behalf of containers, for a prefix that is on-link, not routed."""

    enabled: Flag = Field(
        False,
        description="Answer for every running container of the network, as a VPS with one on-link /64 needs it; with "
        "`PrefixTranslation` for its outer address. Default: `false`.",
    )
    interface: Interface | None = Field(
        None,
        description="Where to answer. Default: the interface that holds the prefix which covers the network's subnet, "
        "or the one that it is translated to.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """An interface alone does nothing."""
        if self.interface is not None and not self.enabled:
            yield FieldError(
                ("interface",), "it has no effect while enabled is false", "write enabled: true, or remove it"
            )


def ndp_proxy_errors(egress: Egress, proxy: NdpProxy) -> Iterator[FieldError]:
    """What is wrong between two blocks of a spec; paths start at the spec."""
    if proxy.enabled and egress.mode in {EgressMode.MASQUERADE, EgressMode.SNAT}:
        yield FieldError(
            ("ndpProxy", "enabled"),
            f"egress.mode {egress.mode} hides the containers' addresses, so nobody asks for them",
            "write egress.mode: Routed, or remove ndpProxy",
        )
