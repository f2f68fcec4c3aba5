"""The addresses of a network, and its bridge."""

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated

from pydantic import BeforeValidator, Field, Strict

from dockerv6.api.errors import FieldError
from dockerv6.api.meta import Model, Name
from dockerv6.api.values import (
    Address4,
    AddressOrPrefix6,
    Flag,
    Interface,
    Prefix4,
    PrefixLength,
    Subnet6,
    Unicast6,
    unquoted_number,
)

DEFAULT_POOL = "default"
"""The pool that is made on first use."""

LONGEST_SUBNET = 126
LONGEST_SUBNET_IPV4 = 30
MOST_RESERVED = 1024
"""The engine knows single auxiliary addresses only, so a range costs one entry for each of its addresses."""

MINIMUM_MTU = 1280
"""RFC 8200 §5: what every link that carries IPv6 must pass."""

MAXIMUM_MTU = 65535

Mtu = Annotated[
    int, Strict(), Field(ge=MINIMUM_MTU, le=MAXIMUM_MTU), BeforeValidator(unquoted_number("a number such as 1500"))
]


class PoolRef(Model):
    """Which pool to allocate from."""

    name: Name = Field(DEFAULT_POOL, description="Name of an IPv6Pool. Default: `default`, which is made on first use.")


class Addressing(Model):
    """The network's IPv6 subnet: fixed, or allocated from a pool."""

    subnet: Subnet6 | None = Field(
        None,
        description="A fixed subnet, such as `fd12:3456:789a:1::/64`. Default: one is allocated from the pool, and "
        "kept.",
    )
    pool_ref: PoolRef | None = Field(None, description="The pool to allocate from. Default: the pool named `default`.")
    prefix_length: PrefixLength | None = Field(
        None,
        description="Prefix length of the allocated subnet, in bits, 1 to 126. Default: the pool's `allocationLength`.",
    )
    gateway: Unicast6 | None = Field(
        None,
        description="The host's address in the subnet, only with a fixed `subnet`. Default: the subnet's first "
        "address.",
    )
    reserved: tuple[AddressOrPrefix6, ...] = Field(
        (),
        description="Addresses and prefixes in a fixed `subnet` that containers never get, at most 1024 addresses in "
        "all. Default: none.",
    )

    @property
    def pool(self) -> str | None:
        """The name of the pool to allocate from; None with a fixed subnet."""
        if self.subnet is not None:
            return None
        return self.pool_ref.name if self.pool_ref is not None else DEFAULT_POOL

    def reserved_addresses(self) -> Iterator[IPv6Address]:
        """Every reserved address, one by one."""
        for prefix in self.reserved:
            yield from prefix

    def field_errors(self) -> Iterator[FieldError]:
        """A fixed subnet or an allocated one; and what lies inside of it."""
        if self.subnet is None:
            for name in ("gateway", "reserved"):
                if getattr(self, name):
                    yield FieldError(
                        (name,),
                        "it needs a fixed subnet: an allocated one is not known beforehand",
                        f"write addressing.subnet, or remove {name}",
                    )
            return
        if self.pool_ref is not None:
            yield FieldError(("poolRef",), "a fixed subnet is not allocated from a pool", "remove subnet or poolRef")
        if self.prefix_length is not None:
            yield FieldError(
                ("prefixLength",),
                f"the fixed subnet already has length {self.subnet.prefixlen}",
                "remove subnet or prefixLength",
            )
        yield from self._inside(self.subnet)

    def _inside(self, subnet: IPv6Network) -> Iterator[FieldError]:
        if subnet.prefixlen > LONGEST_SUBNET:
            yield FieldError(
                ("subnet",),
                f"{subnet} has no room for a gateway and a container",
                f"write a prefix of length {LONGEST_SUBNET} or shorter, best 64",
            )
            return
        gateway = self.gateway if self.gateway is not None else subnet.network_address + 1
        if gateway not in subnet:
            yield FieldError(
                ("gateway",),
                f"{gateway} is not inside the subnet {subnet}",
                f"write an address such as {subnet.network_address + 1}, or remove it",
            )
        elif gateway == subnet.network_address:
            yield FieldError(
                ("gateway",),
                f"{gateway} is the subnet-router anycast address (RFC 4291 §2.6.1)",
                f"write another, such as {gateway + 1}",
            )
        total = 0
        for index, prefix in enumerate(self.reserved):
            total += prefix.num_addresses
            if not prefix.subnet_of(subnet):
                yield FieldError(
                    ("reserved", index), f"{prefix} is not inside the subnet {subnet}", "correct it, or remove it"
                )
            elif gateway in prefix:
                whose = "gateway" if self.gateway is not None else "gateway by default"
                yield FieldError(
                    ("reserved", index),
                    f"{prefix} holds {gateway}, which is the {whose}",
                    "reserve other addresses, or move the gateway",
                )
        if total > MOST_RESERVED:
            yield FieldError(
                ("reserved",),
                f"{total} addresses are reserved; the engine takes them one by one",
                f"reserve at most {MOST_RESERVED}",
            )


class IPv4(Model):
    """The network's IPv4 side, which is the engine's own business."""

    enabled: Flag = Field(
        True, description="Whether the network has IPv4 too. `false` needs Docker Engine 28 or newer. Default: `true`."
    )
    subnet: Prefix4 | None = Field(
        None, description="A fixed IPv4 subnet, such as `192.0.2.0/24`. Default: the engine chooses one."
    )
    gateway: Address4 | None = Field(
        None,
        description="The host's IPv4 address in the subnet, only with a fixed `subnet`. Default: the engine's "
        "choice, the first address.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """A gateway inside the subnet, and neither without IPv4."""
        for name in ("subnet", "gateway"):
            if not self.enabled and getattr(self, name) is not None:
                yield FieldError(
                    (name,), "it has no effect while enabled is false", f"write enabled: true, or remove {name}"
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
            yield FieldError(("gateway",), "it needs a fixed subnet", "write ipv4.subnet, or remove gateway")
        elif self.gateway not in self.subnet or self.gateway in {
            self.subnet.network_address,
            self.subnet.broadcast_address,
        }:
            yield FieldError(
                ("gateway",),
                f"{self.gateway} is no host address of {self.subnet}",
                f"write an address such as {self.subnet.network_address + 1}",
            )


class Bridge(Model):
    """The host's bridge interface of a network with driver `bridge`."""

    name: Interface | None = Field(
        None,
        description="Name of the bridge interface, at most 15 bytes. Default: one that is derived from the "
        "resource's name.",
    )
    mtu: Mtu | None = Field(
        None, description="Largest packet in bytes, 1280 (RFC 8200 §5) to 65535. Default: the engine's, usually 1500."
    )
    icc: Flag = Field(True, description="Whether containers of the network can reach one another. Default: `true`.")
