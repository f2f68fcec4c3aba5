"""The pool that a resource allocates from, with its prefixes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.api.addressing import DEFAULT_POOL
from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.pool import GENERATED_LENGTH, IPv6Pool
from dockerv6.lib.prefixes import is_ula, ula_prefix
from dockerv6.planning.addressing.tracked_prefixes import pool_part
from dockerv6.planning.addressing.translation import PREFIX_RETRY
from dockerv6.planning.inputs import POOL_LABEL, Desired, Holdings, Observed
from dockerv6.planning.plan import Finding

DEFAULT_COOLDOWN = 3600.0
"""Seconds, for a pool whose resource was deleted."""


def cooldown(pool: str, pools: Mapping[str, IPv6Pool]) -> float:
    """Seconds until others can get a released subnet of the pool; ``pool`` is "" for fixed subnets."""
    if pool == "":
        return 0.0
    return pools[pool].spec.cooldown if pool in pools else DEFAULT_COOLDOWN


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool, as an allocation needs it."""

    name: str
    prefixes: tuple[IPv6Network, ...]
    length: int  # of an allocation, unless the resource sets another
    exclude: tuple[IPv6Network, ...] = ()
    cooldown: float = 3600.0  # seconds
    disabled: bool = False
    generated_now: bool = False  # the prefix is new and has to be recorded first

    def could_give(self, prefix: IPv6Network, length: int) -> bool:
        """Whether the pool can allocate the prefix to a resource that asks for that length."""
        return (
            prefix.prefixlen == length
            and any(prefix.subnet_of(p) for p in self.prefixes)
            and not any(prefix.overlaps(x) for x in self.exclude)
        )


def pool_view(desired: Desired, observed: Observed, holdings: Holdings) -> PoolView | Finding:
    """The pool of ``poolRef``, or the default pool, whose prefix is generated on its first use."""
    ref = desired.resource.spec.addressing.pool_ref
    name = ref.name if ref is not None else DEFAULT_POOL
    pool = desired.pools.get(name)
    if pool is None:
        known = ", ".join(sorted(desired.pools)) or "none"
        return Finding(
            ConditionType.SUBNET_ALLOCATED,
            Reason.POOL_NOT_FOUND,
            f"there is no IPv6Pool {name} (pools: {known}); create it, or omit poolRef to use the default pool",
        )
    spec = pool.spec
    prefixes = known_prefixes(pool, holdings)
    if isinstance(prefixes, Finding):
        return prefixes
    generated_now = not prefixes
    if generated_now:
        prefixes = (_seen_before(desired, observed, holdings, name) or ula_prefix(observed.entropy),)
    return PoolView(
        name=name,
        prefixes=prefixes,
        length=spec.allocation_length,
        exclude=tuple(spec.exclude),
        cooldown=spec.cooldown,
        disabled=spec.disabled,
        generated_now=generated_now,
    )


def known_prefixes(pool: IPv6Pool, holdings: Holdings) -> tuple[IPv6Network, ...] | Finding:
    """The prefixes that the pool allocates from, or why it has none. Empty: they are generated on first use."""
    if pool.spec.from_interface is not None:
        tracked = tracked_pool_prefix(pool, holdings)
        return tracked if isinstance(tracked, Finding) else (tracked,)
    recorded = holdings.pool_prefixes.get(pool.metadata.name)
    return pool.spec.all_prefixes or ((recorded,) if recorded is not None else ())


def tracked_pool_prefix(pool: IPv6Pool, holdings: Holdings) -> IPv6Network | Finding:
    """The part of an interface's prefix that the pool has, or why it has none. It must have ``fromInterface``."""
    source = pool.spec.from_interface
    if source is None:
        raise ValueError(f"IPv6Pool {pool.metadata.name} follows no interface")
    tracked = holdings.tracked.get(source.name)
    if tracked is None:
        message = (
            f"IPv6Pool {pool.metadata.name} follows interface {source.name}, which has no global IPv6 prefix yet;"
            " check the uplink and the provider's router advertisements or delegation"
        )
        return Finding(ConditionType.SUBNET_ALLOCATED, Reason.PREFIX_PENDING, message, retry=PREFIX_RETRY)
    part = pool_part(tracked.prefix, source.prefix_length, source.offset)
    if isinstance(part, str):
        message = f"IPv6Pool {pool.metadata.name} follows interface {source.name}: {part}"
        return Finding(ConditionType.SUBNET_ALLOCATED, Reason.PREFIX_TOO_LONG, message)
    return part


def withdrawn_findings(pool: IPv6Pool | None, holdings: Holdings) -> tuple[Finding, ...]:
    """The pool's prefix was withdrawn without a successor. Its subnets stay."""
    source = pool.spec.from_interface if pool is not None else None
    tracked = holdings.tracked.get(source.name) if source is not None else None
    if pool is None or tracked is None or not tracked.withdrawn:
        return ()
    message = (
        f"the prefix {tracked.prefix} of interface {tracked.interface}, which IPv6Pool {pool.metadata.name} follows,"
        " was withdrawn without a successor; its subnets stay in use; check the uplink and the provider's router"
        " advertisements or delegation"
    )
    return (Finding(ConditionType.SUBNET_ALLOCATED, Reason.PREFIX_WITHDRAWN, message, blocks=False),)


def _seen_before(desired: Desired, observed: Observed, holdings: Holdings, pool: str) -> IPv6Network | None:
    """The prefix of the pool according to live networks and allocations, if its record was lost: their subnets stay."""
    subnets = [
        *(
            config.subnet
            for network in observed.networks
            if desired.identity.labelled(network) and network.labels.get(POOL_LABEL) == pool
            for config in network.ipv6
        ),
        *(allocation.prefix for allocation in holdings.allocations if allocation.pool == pool),
    ]
    seen = Counter(
        subnet.supernet(new_prefix=GENERATED_LENGTH)
        for subnet in subnets
        if isinstance(subnet, IPv6Network) and is_ula(subnet) and subnet.prefixlen >= GENERATED_LENGTH
    )
    return max(seen, key=lambda prefix: (seen[prefix], prefix), default=None)
