"""Who is taken off a network and put back on it when the network is made anew."""

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
    EnsureRules,
    RememberEndpoints,
    RememberNetwork,
    RemoveNetwork,
    Step,
)


@dataclass(frozen=True, slots=True)
class Recreation:
    """A network that is made anew: what it was, what it is to be, and who is on it."""

    live: Network
    want: NetworkSpec
    attached: tuple[Attachment, ...]
    missing: tuple[Attachment, ...]  # from the last time
    held: Allocation | None  # the subnet that the resource has held until now
    why: str

    def steps(self, owner: str) -> tuple[Step, ...]:
        """Everything that may be needed to go on, or back, is written down before anything is taken away."""
        everybody, made = (*self.attached, *self.missing), self._made()
        return (
            *self._remember(owner),
            *((RememberEndpoints(owner, self.want.name, everybody),) if everybody else ()),
            *(DetachEndpoint(self.live.id, e) for e in self.attached),
            RemoveNetwork(self.live.id, self.live.name, self.why),
            CreateNetwork(made, self.why),
            *attach(everybody, made),
        )

    def _remember(self, owner: str) -> Iterator[RememberNetwork]:
        if self.held is not None:
            yield RememberNetwork(owner, as_it_was(self.live), self.held.prefix, self.held.pool)

    def _made(self) -> NetworkSpec:
        """With the IPv4 subnet that the engine chose for it before: why should containers lose that one too."""
        made = with_spec_hash(self.want)
        chosen = any(isinstance(c.subnet, IPv4Network) for c in made.ipam)
        return made if chosen or not made.enable_ipv4 else replace(made, ipam=(*self.live.ipv4, *made.ipam))


def as_it_was(live: Network) -> NetworkSpec:
    """What to ask the engine for to get that very network again; with its labels, and what the engine added."""
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
    """Make the network; who is missing from it is written down first, as the network may be there before they are."""
    remember = (RememberEndpoints(owner, want.name, missing),) if missing else ()
    return (*remember, CreateNetwork(with_spec_hash(want), why), *attach(missing, want))


def attach(
    endpoints: Iterable[Attachment], network: NetworkSpec | Network, taken: Iterable[IPv6Address] | None = None
) -> tuple[AttachEndpoint, ...]:
    """Attach them, each with the suffix that its address had.

    Those with addresses of their own come first, or the engine gives these to the others; the others by the addresses
    that they had, since engines give out ascending ones.

    Args:
        endpoints: who is to be attached, as they were.
        network: where to.
        taken: addresses that others have there; None: it is made for them, and nobody is on it.
    """
    fitted = sorted((_refit(e, network) for e in endpoints), key=lambda e: (_suffix(e, network), e.container_name))
    placed = sorted(_placed(fitted, network, taken), key=lambda e: e.static_ipv6 is None and e.static_ipv4 is None)
    return tuple(AttachEndpoint(network.name, e) for e in placed)


def _placed(
    endpoints: list[Attachment], network: NetworkSpec | Network, taken: Iterable[IPv6Address] | None
) -> Iterator[Attachment]:
    """Ask for the address where the engine would not come upon it by itself: behind a gap, or beside others.

    It is the container's own from then on, as if a person had asked for it.
    """
    subnet = next((c.subnet for c in network.ipam if isinstance(c.subnet, IPv6Network)), None)
    if subnet is None:
        yield from endpoints
        return
    used = {*_reserved(network), *(e.static_ipv6 for e in endpoints), *(taken or ())}
    following = int(subnet.network_address) + 1
    for endpoint in endpoints:
        if endpoint.static_ipv6 is not None or endpoint.ipv6 is None:
            yield endpoint
            continue
        while IPv6Address(following) in used:
            following += 1
        wish = subnet[int(endpoint.ipv6) & int(subnet.hostmask)]
        if wish in used or (taken is None and int(wish) == following):
            following += 1
            yield endpoint
        else:
            used.add(wish)
            yield replace(endpoint, static_ipv6=wish)


def _reserved(network: NetworkSpec | Network) -> set[IPv4Address | IPv6Address | None]:
    """What containers never get."""
    return {c.gateway for c in network.ipam} | {ip_address(a) for c in network.ipam for a in c.aux_addresses.values()}


def _refit(endpoint: Attachment, network: NetworkSpec | Network) -> Attachment:
    """The attachment with the addresses that fit the network; the engine chooses the others anew.

    An IPv6 address of a network with another prefix keeps its suffix.
    """
    subnets = [c.subnet for c in network.ipam]
    kept = _reserved(network)
    v6, v4 = endpoint.static_ipv6, endpoint.static_ipv4
    if v6 is not None and not any(v6 in s for s in subnets):
        v6 = next((s[int(v6) & int(s.hostmask)] for s in subnets if isinstance(s, IPv6Network)), None)
    if v6 in kept:
        v6 = None
    if v4 is not None and (v4 in kept or not any(v4 in s for s in subnets)):
        v4 = None
    return replace(endpoint, static_ipv4=v4, static_ipv6=v6)


def _suffix(endpoint: Attachment, network: NetworkSpec | Network) -> int:
    """The part of the address that it had which a network with another prefix would keep; whoever had none is last."""
    mask = next((int(c.subnet.hostmask) for c in network.ipam if isinstance(c.subnet, IPv6Network)), 0)
    return int(endpoint.ipv6) & mask if endpoint.ipv6 is not None else mask + 1


WHY = "the new one could not be had"


@dataclass(frozen=True, slots=True)
class PreviousNetwork:
    """How the network was before it was made anew, as written down by `RememberNetwork`."""

    spec: NetworkSpec
    subnet: IPv6Network
    pool: str


def plan_rollback(desired: Desired, observed: Observed, holdings: Holdings, previous: PreviousNetwork) -> Plan:
    """Back to what was there: the subnet, its rules, the network, and everybody who was on it.

    Those who are on the new network already are taken off it, written down before.
    """
    name, live = desired.name, own_network(desired, observed)
    everybody = (*observed.attachments, *observed.remembered)
    steps: list[Step] = []
    if live is not None:
        if everybody:
            steps.append(RememberEndpoints(name, live.name, everybody, WHY))
        steps += [DetachEndpoint(live.id, e, WHY) for e in observed.attachments]
        steps.append(RemoveNetwork(live.id, live.name, WHY))
    bound = holdings.bound.get(name)
    if bound is None or bound.prefix != previous.subnet:
        seen = bound.revision if bound is not None else None
        steps.append(BindSubnet(name, previous.pool, previous.subnet, seen, WHY))
    steps.append(EnsureRules(name, (), WHY))
    steps.append(CreateNetwork(previous.spec, WHY))
    steps += attach(everybody, previous.spec)
    return Plan("IPv6Network", name, tuple(steps))
