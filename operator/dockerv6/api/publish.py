"""Which ports of containers can be reached through the host's addresses."""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network

from pydantic import Field

from dockerv6.api.errors import FieldError
from dockerv6.api.meta import Model, Name
from dockerv6.api.selectors import ContainerSelector
from dockerv6.api.values import Address6, AddressOrPrefix6, Flag, Port, special_range

ANY = IPv6Address("::")
_MULTICAST = IPv6Network("ff00::/8")


class Protocol(StrEnum):
    """Transport protocols that have ports."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"


def _host_address_findings(address: IPv6Address | None) -> Iterator[FieldError]:
    if address is None or address == ANY or address.is_loopback:
        return
    special = special_range(IPv6Network(address))
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
    protocol: Protocol = Field(Protocol.TCP, description="`tcp`, `udp` or `sctp`. Default: `tcp`.")
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

    def findings(self) -> Iterator[FieldError]:
        """The host's address must be one that a host can have."""
        return _host_address_findings(self.host_address)


class Publish(Model):
    """Which ports of containers can be reached through the host's addresses."""

    from_containers: Flag = Field(
        True,
        description="Publish over IPv6 what `docker run -p` and Compose's `ports:` of attached containers publish. "
        "Default: `true`.",
    )
    host_address: Address6 = Field(
        ANY,
        description="The host's address on which a port is open when the container names no IPv6 address. "
        'Default: `"::"`, all of them.',
    )
    ports: tuple[PublishedPort, ...] = Field((), description="More ports to publish. Default: none.")

    def findings(self) -> Iterator[FieldError]:
        """A port of the host leads to one place, and a name is one port's."""
        yield from _host_address_findings(self.host_address)
        taken: dict[tuple[Protocol, int, IPv6Address], int] = {}
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
