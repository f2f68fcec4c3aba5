"""The fake engine's address management: default pools, overlap, and addresses for endpoints. Pure."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import chain, islice
from typing import TYPE_CHECKING

from dockerv6.dockerd.model import SubnetConfig

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

AnyNetwork = IPv4Network | IPv6Network
AnyAddress = IPv4Address | IPv6Address

# libnetwork's defaults: 172.17 to 172.31, then 192.168 in sixteen parts; the bridge network has the first
_POOLS = tuple(
    chain(
        (IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32)),
        IPv4Network("192.168.0.0/16").subnets(new_prefix=20),
    )
)


def overlaps(one: AnyNetwork, taken: Iterable[AnyNetwork]) -> bool:
    """Whether a subnet shares an address with any of the others."""
    return any(one.version == other.version and one.overlaps(other) for other in taken)


def ipv4_pool(taken: Collection[AnyNetwork]) -> SubnetConfig | None:
    """Give the first default pool that overlaps nothing, with its gateway; None when they are used up."""
    free = next((pool for pool in _POOLS if not overlaps(pool, taken)), None)
    return None if free is None else SubnetConfig(free, gateway=free[1])


def ipv6_pool(network_id: str) -> SubnetConfig:
    """Give a ULA /64; a real engine makes a random one, this one follows from the network's id."""
    digest = hashlib.sha256(network_id.encode()).digest()
    subnet = IPv6Network((int.from_bytes(b"\xfd" + digest[:5]) << 80, 64))
    return SubnetConfig(subnet, gateway=subnet[1])


def free_address(config: SubnetConfig, used: Collection[AnyAddress]) -> AnyAddress | None:
    """Give the lowest address for an endpoint; None when there is none.

    Where no gateway was asked for, the engine takes the range's first address for it without showing so in inspect.
    """
    pool = config.ip_range or config.subnet
    first = next(iter(_hosts(pool, config.subnet)), None)
    kept = {config.gateway or first, *(ip_address(text) for text in config.aux_addresses.values()), *used}
    return next(
        (address for address in islice(_hosts(pool, config.subnet), len(kept) + 1) if address not in kept), None
    )


def ipv4(address: AnyAddress | None) -> IPv4Address | None:
    """Narrow what is known to be an IPv4 address."""
    return address if isinstance(address, IPv4Address) else None


def ipv6(address: AnyAddress | None) -> IPv6Address | None:
    """Narrow what is known to be an IPv6 address."""
    return address if isinstance(address, IPv6Address) else None


def _hosts(pool: AnyNetwork, subnet: AnyNetwork) -> Iterable[AnyAddress]:
    last = subnet.broadcast_address if subnet.version == 4 else None
    return (pool[index] for index in range(min(pool.num_addresses, 1 << 20)) if pool[index] not in {subnet[0], last})
