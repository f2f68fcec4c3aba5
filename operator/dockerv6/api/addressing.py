"""The blocks addressing, ipv4 and bridge of an IPv6Network."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, Strict

from dockerv6.api.errors import FieldError
from dockerv6.api.meta import Model, Name
from dockerv6.api.values import (
    SHORTEST_SUBNET,
    Address4,
    AddressOrPrefix6,
    Flag,
    InterfaceField,
    Prefix4,
    Subnet6,
    SubnetLength,
    Unicast6,
    unquoted_number,
)
from dockerv6.lib.networking import MINIMUM_MTU

DEFAULT_POOL = "default"
"""The pool that is created on first use."""

LONGEST_SUBNET = 126  # bits; a longer one has no room for a gateway and a container
LONGEST_SUBNET_IPV4 = 30
NEVER_OWN_BRIDGES: Final[Mapping[str, str]] = {
    "lo": "the loopback interface of every host",
    "docker0": "the bridge of the engine's own default network",
    "docker_gwbridge": "the bridge of the engine's Swarm mode",
    "bonding_masters": "a file of the kernel's bonding driver beside the interfaces",
}
"""Names that an interface may have and that are never the bridge of a resource, and what they are."""

MAX_RESERVED = 1024
"""The engine takes auxiliary addresses one by one, so each address of a range is an entry."""

MAXIMUM_MTU = 65535

Mtu = Annotated[
    int, Strict(), Field(ge=MINIMUM_MTU, le=MAXIMUM_MTU), BeforeValidator(unquoted_number("a number such as 1500"))
]


class PoolRef(Model):
    """A reference to the pool of the allocation."""

    name: Name = Field(
        DEFAULT_POOL, description="Name of an IPv6Pool. Default: `default`, which is created on first use."
    )


class Addressing(Model):
    """The network's IPv6 subnet: fixed, or allocated from a pool."""

    subnet: Subnet6 | None = Field(
        None,
        description="A fixed subnet, such as `fd12:3456:789a:1::/64`. Default: a subnet is allocated from the pool and "
        "kept for the resource.",
    )
    pool_ref: PoolRef | None = Field(
        None, description="The pool to allocate the subnet from. Default: the pool `default`."
    )
    prefix_length: SubnetLength | None = Field(
        None,
        description="Prefix length of the allocated subnet, in bits, 32 to 126. Default: the pool's "
        "`allocationLength`.",
    )
    gateway: Unicast6 | None = Field(
        None,
        description="The host's address in the subnet. Requires a fixed `subnet`. Default: the first address of the "
        "subnet.",
    )
    ip_range: Subnet6 | None = Field(
        None,
        description="The part of the subnet from which the engine chooses addresses, such as "
        "`fd12:3456:789a:1::8000/113` (Docker's `ip_range`). Fixed addresses of containers (`docker run --ip6`, "
        "`ipv6_address`) are safe outside of it. Requires a fixed `subnet`. Default: the whole subnet.",
    )
    reserved: tuple[AddressOrPrefix6, ...] = Field(
        (),
        description="Addresses and prefixes in the subnet that no container gets, not even as a fixed address, such as "
        "those of other machines on a macvlan's link; at most 1024 addresses in total. To keep addresses for "
        "containers with fixed ones, use `ipRange`. Requires a fixed `subnet`. Default: none.",
    )

    @property
    def pool(self) -> str | None:
        """The name of the pool to allocate from; None with a fixed subnet."""
        if self.subnet is not None:
            return None
        return self.pool_ref.name if self.pool_ref is not None else DEFAULT_POOL

    def reserved_addresses(self) -> Iterator[IPv6Address]:
        """All reserved addresses."""
        for prefix in self.reserved:
            yield from prefix

    def field_errors(self) -> Iterator[FieldError]:
        """Check that the subnet is either fixed or allocated, and that gateway and reserved addresses are in it."""
        if self.subnet is None:
            for name, field in (("gateway", "gateway"), ("ipRange", "ip_range"), ("reserved", "reserved")):
                if getattr(self, field):
                    yield FieldError(
                        (name,),
                        "requires a fixed subnet: an allocated subnet is not known in advance",
                        f"write addressing.subnet, or remove {name}",
                    )
            return
        if self.pool_ref is not None:
            yield FieldError(("poolRef",), "has no effect with a fixed subnet", "remove subnet or poolRef")
        if self.prefix_length is not None:
            yield FieldError(
                ("prefixLength",),
                f"the fixed subnet already has length {self.subnet.prefixlen}",
                "remove subnet or prefixLength",
            )
        yield from self._errors_in_subnet(self.subnet)

    def _errors_in_subnet(self, subnet: IPv6Network) -> Iterator[FieldError]:
        if subnet.prefixlen > LONGEST_SUBNET:
            yield FieldError(
                ("subnet",),
                f"{subnet} has no room for a gateway and a container",
                f"write a prefix of length {LONGEST_SUBNET} or shorter, preferably 64",
            )
            return
        if subnet.prefixlen < SHORTEST_SUBNET:
            yield FieldError(
                ("subnet",),
                f"{subnet} is too large for one network: it would take the addresses of other networks and pools",
                f"write a prefix of length {SHORTEST_SUBNET} or longer, preferably 64",
            )
        gateway = self.gateway if self.gateway is not None else subnet.network_address + 1
        if gateway not in subnet:
            yield FieldError(
                ("gateway",),
                f"{gateway} is not in the subnet {subnet}",
                f"write an address such as {subnet.network_address + 1}, or remove it",
            )
        elif gateway == subnet.network_address:
            yield FieldError(
                ("gateway",),
                f"{gateway} is the subnet-router anycast address (RFC 4291 §2.6.1)",
                f"write another address, such as {gateway + 1}",
            )
        if self.ip_range is not None and (
            not self.ip_range.subnet_of(subnet) or self.ip_range.prefixlen > LONGEST_SUBNET
        ):
            yield FieldError(
                ("ipRange",),
                f"{self.ip_range} is not a part of the subnet {subnet} with room for containers",
                f"write a prefix in {subnet} of length {LONGEST_SUBNET} or shorter, or remove it",
            )
        total = 0
        for index, prefix in enumerate(self.reserved):
            total += prefix.num_addresses
            if not prefix.subnet_of(subnet):
                yield FieldError(
                    ("reserved", index), f"{prefix} is not in the subnet {subnet}", "correct it, or remove it"
                )
            elif gateway in prefix:
                role = "gateway" if self.gateway is not None else "default gateway"
                yield FieldError(
                    ("reserved", index),
                    f"{prefix} contains {gateway}, which is the {role}",
                    "reserve other addresses, or change the gateway",
                )
        if total > MAX_RESERVED:
            yield FieldError(
                ("reserved",),
                f"{total} addresses are reserved, which are too many for the engine",
                f"reserve at most {MAX_RESERVED}",
            )


class IPv4(Model):
    """IPv4 of the network, which the engine manages."""

    enabled: Flag = Field(
        True,
        description="Whether the network also has IPv4. `false` requires Docker Engine 28 or later. Default: `true`.",
    )
    subnet: Prefix4 | None = Field(
        None, description="A fixed IPv4 subnet, such as `192.0.2.0/24`. Default: the engine chooses a subnet."
    )
    gateway: Address4 | None = Field(
        None,
        description="The host's IPv4 address in the subnet. Requires a fixed `subnet`. Default: the engine chooses the "
        "first address.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """Check that the gateway is in the subnet, and that neither is set without IPv4."""
        for name in ("subnet", "gateway"):
            if not self.enabled and getattr(self, name) is not None:
                yield FieldError(
                    (name,), "has no effect while enabled is false", f"write enabled: true, or remove {name}"
                )
        if self.subnet is not None and self.subnet.prefixlen > LONGEST_SUBNET_IPV4:
            yield FieldError(
                ("subnet",),
                f"{self.subnet} has no room for a gateway and a container",
                f"write a prefix of length {LONGEST_SUBNET_IPV4} or shorter",
            )
        if self.gateway is None:
            return
        if self.subnet is None:
            yield FieldError(("gateway",), "requires a fixed subnet", "write ipv4.subnet, or remove gateway")
        elif self.gateway not in self.subnet or self.gateway in {
            self.subnet.network_address,
            self.subnet.broadcast_address,
        }:
            yield FieldError(
                ("gateway",),
                f"{self.gateway} is not a host address in {self.subnet}",
                f"write an address such as {self.subnet.network_address + 1}",
            )


class Bridge(Model):
    """The host's bridge interface of a network with driver `bridge`."""

    name: InterfaceField | None = Field(
        None,
        description="Name of the bridge interface, at most 15 bytes. Default: a name derived from the name of the "
        "resource.",
    )
    mtu: Mtu | None = Field(
        None, description="MTU in bytes, 1280 (RFC 8200 §5) to 65535. Default: that of the engine, usually 1500."
    )
    icc: Flag = Field(True, description="Whether containers of the network can reach each other. Default: `true`.")

    def field_errors(self) -> Iterator[FieldError]:
        """Check that the interface can be a bridge of one resource. The rules would cut off any other one."""
        if self.name is not None and self.name in NEVER_OWN_BRIDGES:
            yield FieldError(
                ("name",),
                f"{self.name} is {NEVER_OWN_BRIDGES[self.name]}",
                "choose another name, or omit it to get one derived from the name of the resource",
            )
