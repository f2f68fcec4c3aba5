"""Which port of the host leads to which container. Pure.

Every resource's wishes become claims; a port that is claimed more than once goes to whoever has it already, else to
the container that is older. Whoever loses is told, and takes the port over when it is free.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

from dockerv6.api.conditions import Reason
from dockerv6.api.traffic import ANY_ADDRESS
from dockerv6.dockerd.model import Container
from dockerv6.firewall.model import PortIntent
from dockerv6.hostnet.model import Listener
from dockerv6.planning.firewall.port_claims import (
    PortClaim,
    PortKey,
    PublishingNetwork,
    bracketed,
    from_containers,
    own_ports,
    port_finding,
)
from dockerv6.planning.plan import Finding

PORT_RETRY = 10.0
"""Seconds until a port that a host process uses is tried again: the kernel does not announce that it is free."""

Incumbents = Mapping[PortKey, tuple[IPv6Address, int]]
"""Where ports lead to now."""


@dataclass(frozen=True, slots=True)
class PortAssignment:
    """What the host's ports lead to, and what they don't."""

    ports: tuple[PortIntent, ...] = ()
    names: Mapping[PortKey, str] = field(default_factory=dict)  # the containers that they lead to
    problems: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)  # by owner

    @property
    def incumbents(self) -> Incumbents:
        """Where ports lead to after this."""
        return {(str(p.protocol), p.port, p.host_address): (p.target, p.target_port) for p in self.ports}


@dataclass(frozen=True, slots=True)
class _Holders:
    """Who the engine has given a port to on IPv6: whatever listens there is the engine's, for them."""

    served: bool = False  # a container whose own wish for the port is ours to settle
    strangers: tuple[str, ...] = ()  # names of the others


def assign_ports(
    publishing_networks: Iterable[PublishingNetwork],
    containers: Iterable[Container],
    incumbents: Incumbents,
    listeners: Collection[Listener] = (),
) -> PortAssignment:
    """Give every port to one claim.

    Args:
        publishing_networks: live networks with their publish blocks; one a network.
        containers: all that run.
        incumbents: where ports lead to now: those claims go first.
        listeners: the host's sockets.
    """
    by_network = {surface.network_id: surface for surface in publishing_networks}
    running = tuple(containers)
    problems: dict[str, list[Finding]] = {}
    found = [*from_containers(by_network, running)]
    held = _held_by_engine(running, frozenset(claim.container.id for claim in found))
    for surface_port in own_ports(by_network.values(), running):
        if isinstance(surface_port, PortClaim):
            found.append(surface_port)
        else:
            owner, problem = surface_port
            problems.setdefault(owner, []).append(problem)
    taken: dict[tuple[str, int], dict[IPv6Address | None, PortClaim]] = {}
    for claim in sorted(found, key=lambda each: _rank(each, incumbents)):
        problem_of_it = _place(claim, taken, incumbents, held, listeners)
        if problem_of_it is not None and problem_of_it not in problems.get(claim.owner, ()):
            problems.setdefault(claim.owner, []).append(problem_of_it)
    kept: list[PortClaim] = []
    for there in taken.values():
        everywhere = there.get(None)
        kept += there.values() if everywhere is None else (everywhere,)
        for claim in there.values():
            if everywhere is not None and claim.sources and claim.sources != everywhere.sources:
                problems.setdefault(claim.owner, []).append(_open_anyway(claim))
    kept.sort(key=lambda each: (each.owner, *each.key[:2], str(each.host_address)))
    return PortAssignment(
        tuple(intent for claim in kept if (intent := _intent(claim)) is not None),
        {claim.key: claim.container.name for claim in kept},
        {owner: tuple(each) for owner, each in problems.items()},
    )


def _rank(claim: PortClaim, incumbents: Incumbents) -> tuple[object, ...]:
    """Who has the port keeps it, also when it is reached by another of its networks now; then the older container."""
    address, target_port = incumbents.get(claim.key, (None, 0))
    return (
        address is None or address not in {end.ipv6 for end in claim.container.endpoints},
        target_port != claim.target_port,
        claim.container.created,
        claim.container.id,
        claim.owner,
        not claim.sources,
        *claim.key[:2],
        str(claim.host_address or ""),
    )


def _place(
    claim: PortClaim,
    taken: dict[tuple[str, int], dict[IPv6Address | None, PortClaim]],
    incumbents: Incumbents,
    held: Mapping[tuple[str, int], _Holders],
    listeners: Collection[Listener],
) -> Finding | None:
    """Put the claim among those that have their port, or say why not."""
    if claim.address is None:
        message = f"{claim}: container {claim.container.name} has no IPv6 address on network {claim.network} yet"
        return port_finding(Reason.ADDRESS_PENDING, message, waiting=True)
    there = taken.setdefault((str(claim.protocol), claim.port), {})
    rivals = [
        other
        for address, other in there.items()
        if address == claim.host_address or address is None or claim.host_address is None
    ]
    for rival in rivals:
        if rival.container.id != claim.container.id or rival.target_port != claim.target_port:
            whose = f"container {rival.container.name} (of {rival.owner})"
            message = f"{claim} for container {claim.container.name} already leads to {whose}; choose another port"
            return port_finding(Reason.PORT_CONFLICT, message)
    same = there.get(claim.host_address)
    if same is not None:  # the same target by two ways: said with an allow-list, it is meant
        if claim.sources and not same.sources:
            there[claim.host_address] = replace(same, sources=claim.sources)
        return None
    holders = held.get(claim.key[:2], _Holders())
    ours = claim.key in incumbents or holders.served or claim.container.name in holders.strangers
    listener = None if ours else _listener(claim, listeners)
    if listener is not None:
        message = f"{claim} is taken by {_who(listener, holders)}; stop it, or choose another port"
        return port_finding(Reason.PORT_TAKEN, message, retry=PORT_RETRY)
    there[claim.host_address] = claim
    return None


def _open_anyway(claim: PortClaim) -> Finding:
    """One address's allow-list says less than what opens the same port of the same container on all of them."""
    message = (
        f"{claim} for container {claim.container.name} can't be for some clients alone: the port is published on all"
        " addresses as well; say `from` there, or publish it on single addresses only"
    )
    return port_finding(Reason.PORT_CONFLICT, message)


def _listener(claim: PortClaim, listeners: Collection[Listener]) -> Listener | None:
    """A process that would no longer be reached."""
    return next(
        (
            each
            for each in listeners
            if (each.protocol, each.port) == claim.key[:2]
            and (claim.host_address is None or each.address in (ANY_ADDRESS, claim.host_address))
        ),
        None,
    )


def _held_by_engine(containers: Iterable[Container], served: Collection[str]) -> Mapping[tuple[str, int], _Holders]:
    """``served`` are the ids of the containers whose bindings are claims."""
    found: dict[tuple[str, int], _Holders] = {}
    for container in containers:
        for key in {(b.protocol, b.host_port) for b in container.ports if not isinstance(b.host_address, IPv4Address)}:
            known = found.get(key, _Holders())
            if container.id in served:
                found[key] = replace(known, served=True)
            else:
                found[key] = replace(known, strangers=(*known.strangers, container.name))
    return found


def _who(listener: Listener, holders: _Holders) -> str:
    if holders.strangers:
        return f"container {', '.join(holders.strangers)}, whose ports are published by the engine"
    return f"a process of the host that listens on {bracketed(listener.address)}:{listener.port}"


def _intent(claim: PortClaim) -> PortIntent | None:
    if claim.address is None:
        return None
    return PortIntent(
        claim.owner,
        claim.protocol,
        claim.port,
        claim.address,
        claim.target_port,
        claim.gateway,
        claim.host_address,
        claim.sources,
    )
