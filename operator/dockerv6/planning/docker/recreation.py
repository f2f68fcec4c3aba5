"""The recreation of a Docker network with its endpoints, and the rollback to the previous one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from dockerv6.dockerd.model import Attachment, Network, NetworkSpec
from dockerv6.ipam.ledger import Allocation
from dockerv6.planning.docker.network_spec import ENGINE_OPTIONS, own_network, with_spec_hash
from dockerv6.planning.inputs import Desired, Holdings, Observed
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import (
    AttachEndpoint,
    BindSubnet,
    CreateNetwork,
    DetachEndpoint,
    RememberEndpoints,
    RememberNetwork,
    RemoveNetwork,
    Step,
)
from dockerv6.planning.traffic import future_firewall, future_rules_steps


@dataclass(frozen=True, slots=True)
class Recreation:
    """A live network that is replaced by one with another specification."""

    live: Network
    want: NetworkSpec
    attached: tuple[Attachment, ...]
    missing: tuple[Attachment, ...]  # not attached again after an earlier recreation
    bound: Allocation | None  # the subnet that the resource has had until now
    why: str

    def steps(self, owner: str) -> tuple[Step, ...]:
        """Record everything that a continuation or a rollback needs, before anything is removed."""
        remembered, spec = (*self.attached, *self.missing), self._spec()
        endpoints = (*self.attached, *complete(self.missing))
        return (
            *self._remember(owner),
            *((RememberEndpoints(owner, self.want.name, remembered),) if remembered else ()),
            *(DetachEndpoint(self.live.id, e) for e in self.attached),
            RemoveNetwork(self.live.id, self.live.name, self.why),
            CreateNetwork(spec, self.why),
            *attach(endpoints, spec),
        )

    def _remember(self, owner: str) -> Iterator[RememberNetwork]:
        if self.bound is not None:
            yield RememberNetwork(owner, spec_of(self.live), self.bound.prefix, self.bound.pool)

    def _spec(self) -> NetworkSpec:
        """The new specification. Without a fixed IPv4 subnet, it keeps the one that the engine chose before."""
        spec = with_spec_hash(self.want)
        fixed = any(isinstance(c.subnet, IPv4Network) for c in spec.ipam)
        return spec if fixed or not spec.enable_ipv4 else replace(spec, ipam=(*self.live.ipv4, *spec.ipam))


def spec_of(live: Network) -> NetworkSpec:
    """The specification that creates a live network again, with its labels."""
    return NetworkSpec(
        name=live.name,
        driver=live.driver,
        internal=live.internal,
        attachable=live.attachable,
        enable_ipv4=live.enable_ipv4,
        enable_ipv6=live.enable_ipv6,
        ipam=live.ipam,
        options={k: v for k, v in live.options.items() if k not in ENGINE_OPTIONS},
        labels=live.labels,
    )


def creation(owner: str, missing: tuple[Attachment, ...], want: NetworkSpec, why: str) -> tuple[Step, ...]:
    """Create the network and attach ``missing``, which are recorded first: a crash may separate the two."""
    remember = (RememberEndpoints(owner, want.name, missing),) if missing else ()
    return (*remember, CreateNetwork(with_spec_hash(want), why), *attach(complete(missing), want))


def complete(missing: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """Those that can be attached again: the others would lose their aliases, and wait until they can be inspected."""
    return tuple(each for each in missing if each.complete)


def attach(
    endpoints: Iterable[Attachment], network: NetworkSpec | Network, taken: Iterable[IPv6Address] | None = None
) -> tuple[AttachEndpoint, ...]:
    """Attach containers so that each keeps the suffix of its address.

    Those with fixed addresses are attached first, since the engine could give these to others. The others follow in the
    order of their previous addresses: engines assign ascending ones.

    Args:
        endpoints: the attachments as they were.
        network: the network.
        taken: addresses that are in use there; None: the network is new and empty.
    """
    fitted = sorted((_refit(e, network) for e in endpoints), key=lambda e: (_suffix(e, network), e.container_name))
    placed = sorted(_placed(fitted, network, taken), key=lambda e: e.static_ipv6 is None and e.static_ipv4 is None)
    return tuple(AttachEndpoint(network.name, e) for e in placed)


def _placed(
    endpoints: list[Attachment], network: NetworkSpec | Network, taken: Iterable[IPv6Address] | None
) -> Iterator[Attachment]:
    """Fix the address where the engine would not assign it by itself: after a gap, or next to other containers.

    From then on, it is a fixed address of the container.
    """
    config = next((c for c in network.ipam if isinstance(c.subnet, IPv6Network)), None)
    if config is None or not isinstance(config.subnet, IPv6Network):
        yield from endpoints
        return
    subnet = config.subnet
    used = {*_reserved(network), *(e.static_ipv6 for e in endpoints), *(taken or ())}
    next_free = int(subnet.network_address) + 1
    if config.ip_range is not None:  # there the engine begins
        next_free = max(next_free, int(config.ip_range.network_address))
    for endpoint in endpoints:
        if endpoint.static_ipv6 is not None or endpoint.ipv6 is None:
            yield endpoint
            continue
        while IPv6Address(next_free) in used:
            next_free += 1
        previous = subnet[int(endpoint.ipv6) & int(subnet.hostmask)]
        if previous in used or (taken is None and int(previous) == next_free):
            next_free += 1
            yield endpoint
        else:
            used.add(previous)
            yield replace(endpoint, static_ipv6=previous)


def _reserved(network: NetworkSpec | Network) -> set[IPv4Address | IPv6Address | None]:
    """The addresses that containers never get."""
    return {c.gateway for c in network.ipam} | {ip_address(a) for c in network.ipam for a in c.aux_addresses.values()}


def _refit(endpoint: Attachment, network: NetworkSpec | Network) -> Attachment:
    """The attachment with the fixed addresses that fit the network. The engine chooses the others.

    A fixed IPv6 address gets the network's prefix and keeps its suffix.
    """
    subnets = [c.subnet for c in network.ipam]
    reserved = _reserved(network)
    v6, v4 = endpoint.static_ipv6, endpoint.static_ipv4
    if v6 is not None and not any(v6 in s for s in subnets):
        v6 = next((s[int(v6) & int(s.hostmask)] for s in subnets if isinstance(s, IPv6Network)), None)
    if v6 in reserved:
        v6 = None
    if v4 is not None and (v4 in reserved or not any(v4 in s for s in subnets)):
        v4 = None
    return replace(endpoint, static_ipv4=v4, static_ipv6=v6)


def _suffix(endpoint: Attachment, network: NetworkSpec | Network) -> int:
    """The bits of its previous address that a renumbering keeps. A container without an address sorts last."""
    mask = next((int(c.subnet.hostmask) for c in network.ipam if isinstance(c.subnet, IPv6Network)), 0)
    return int(endpoint.ipv6) & mask if endpoint.ipv6 is not None else mask + 1


ROLLBACK_REASON = "the new network could not be created"


@dataclass(frozen=True, slots=True)
class PreviousNetwork:
    """The network before its recreation, as recorded by `RememberNetwork`."""

    spec: NetworkSpec
    subnet: IPv6Network
    pool: str


def plan_rollback(desired: Desired, observed: Observed, holdings: Holdings, previous: PreviousNetwork) -> Plan:
    """Restore the previous subnet, its rules, the network and its endpoints.

    Containers on the new network are recorded, detached from it and attached to the previous one.
    """
    name, live = desired.name, own_network(desired, observed)
    endpoints = (*observed.attachments, *observed.remembered)
    spec = previous.spec
    if ipv4_taken(desired, observed, spec):  # the engine chose it, and chooses another one now
        spec = replace(spec, ipam=tuple(c for c in spec.ipam if not isinstance(c.subnet, IPv4Network)))
    steps: list[Step] = []
    if live is not None:
        if endpoints:
            steps.append(RememberEndpoints(name, live.name, endpoints, ROLLBACK_REASON))
        steps += [DetachEndpoint(live.id, e, ROLLBACK_REASON) for e in observed.attachments]
        steps.append(RemoveNetwork(live.id, live.name, ROLLBACK_REASON))
    bound = holdings.bound.get(name)
    if bound is None or bound.prefix != previous.subnet:
        seen = bound.revision if bound is not None else None
        steps.append(BindSubnet(name, previous.pool, previous.subnet, seen, ROLLBACK_REASON))
    firewall = future_firewall(desired, observed, holdings, previous.subnet, ())
    steps += future_rules_steps(desired, firewall, ROLLBACK_REASON)
    steps.append(CreateNetwork(spec, ROLLBACK_REASON))
    steps += attach(endpoints, spec)
    return Plan("IPv6Network", name, tuple(steps))


def ipv4_taken(desired: Desired, observed: Observed, spec: NetworkSpec) -> bool:
    """Whether another network got the IPv4 subnet that the engine had chosen for this one, while it was removed."""
    if desired.resource.spec.ipv4.subnet is not None:
        return False
    live = own_network(desired, observed)
    others = [c.subnet for n in observed.networks if live is None or n.id != live.id for c in n.ipv4]
    return any(c.subnet.overlaps(other) for c in spec.ipam if isinstance(c.subnet, IPv4Network) for other in others)
