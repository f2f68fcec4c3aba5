"""Who is taken off a network and put back on it when the network is made anew."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address

from dockerv6.dockerd.model import Attachment, Network, NetworkSpec
from dockerv6.ipam.ledger import Allocation
from dockerv6.planning.blueprint import ENGINE_OPTIONS, stamped
from dockerv6.planning.steps import (
    AttachEndpoint,
    CreateNetwork,
    DetachEndpoint,
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
        made = stamped(self.want)
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
    return (*remember, CreateNetwork(stamped(want), why), *attach(missing, want))


def attach(endpoints: Iterable[Attachment], network: NetworkSpec | Network) -> tuple[AttachEndpoint, ...]:
    """Attach them; those with addresses of their own first, or the engine gives these to the others.

    The others in the order of the addresses that they had: engines give out ascending ones.
    """
    fitted = [_refit(e, network) for e in endpoints]
    fitted.sort(
        key=lambda e: (
            e.static_ipv6 is None and e.static_ipv4 is None,
            _suffix(e, network),
            e.container_name,
        )
    )
    return tuple(AttachEndpoint(network.name, e) for e in fitted)


def _refit(endpoint: Attachment, network: NetworkSpec | Network) -> Attachment:
    """The attachment with the addresses that fit the network; the engine chooses the others anew.

    An IPv6 address of a network with another prefix keeps its suffix.
    """
    subnets = [c.subnet for c in network.ipam]
    kept = {c.gateway for c in network.ipam} | {ip_address(a) for c in network.ipam for a in c.aux_addresses.values()}
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
