"""Which port of the host leads to which container. Pure.

Every resource's wishes become claims; a port that is claimed more than once goes to whoever has it already, else to
the container that is older. Whoever loses is told, and takes the port over when it is free.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

from dockerv6.api.conditions import Reason
from dockerv6.api.publish import ANY
from dockerv6.dockerd.model import Container
from dockerv6.firewall.model import PortIntent
from dockerv6.hostnet.model import Listener
from dockerv6.planning.claims import Claim, PortKey, PortProblem, Surface, from_containers, own_ports, shown

Incumbents = Mapping[PortKey, tuple[IPv6Address, int]]
"""Where ports lead to now."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What the host's ports lead to, and what they don't."""

    ports: tuple[PortIntent, ...] = ()
    names: Mapping[PortKey, str] = field(default_factory=dict)  # the containers that they lead to
    problems: Mapping[str, tuple[PortProblem, ...]] = field(default_factory=dict)  # by owner

    @property
    def incumbents(self) -> Incumbents:
        """Where ports lead to after this."""
        return {(str(p.protocol), p.port, p.host_address): (p.target, p.target_port) for p in self.ports}


def settle(
    surfaces: Iterable[Surface],
    containers: Iterable[Container],
    incumbents: Incumbents,
    listeners: Collection[Listener] = (),
) -> Settled:
    """Give every port to one claim.

    Args:
        surfaces: live networks with their publish blocks; one a network.
        containers: all that run.
        incumbents: where ports lead to now: those claims go first.
        listeners: the host's sockets.
    """
    by_network = {surface.network_id: surface for surface in surfaces}
    running = tuple(containers)
    problems: dict[str, list[PortProblem]] = {}
    found = [*from_containers(by_network, running)]
    for surface_port in own_ports(by_network.values(), running):
        if isinstance(surface_port, Claim):
            found.append(surface_port)
        else:
            owner, problem = surface_port
            problems.setdefault(owner, []).append(problem)
    engine_held = frozenset(_held_by_engine(running))
    taken: dict[tuple[str, int], dict[IPv6Address | None, Claim]] = {}
    for claim in sorted(found, key=lambda each: _rank(each, incumbents)):
        problem_of_it = _place(claim, taken, incumbents, engine_held, listeners)
        if problem_of_it is not None and problem_of_it not in problems.get(claim.owner, ()):
            problems.setdefault(claim.owner, []).append(problem_of_it)
    kept = [claim for there in taken.values() for claim in there.values()]
    kept.sort(key=lambda each: (each.owner, *each.key[:2], str(each.host_address)))
    return Settled(
        tuple(intent for claim in kept if (intent := _intent(claim)) is not None),
        {claim.key: claim.container.name for claim in kept},
        {owner: tuple(each) for owner, each in problems.items()},
    )


def _rank(claim: Claim, incumbents: Incumbents) -> tuple[object, ...]:
    """Who has the port keeps it; then the older container."""
    there = incumbents.get(claim.key)
    return (
        there is None or there != (claim.address, claim.target_port),
        claim.container.created,
        claim.container.id,
        claim.owner,
        not claim.sources,
        *claim.key[:2],
        str(claim.host_address or ""),
    )


def _place(
    claim: Claim,
    taken: dict[tuple[str, int], dict[IPv6Address | None, Claim]],
    incumbents: Incumbents,
    engine_held: frozenset[tuple[str, int]],
    listeners: Collection[Listener],
) -> PortProblem | None:
    """Put the claim among those that have their port, or say why not."""
    if claim.address is None:
        message = f"{claim}: container {claim.container.name} has no IPv6 address on network {claim.network} yet"
        return PortProblem(Reason.ADDRESS_PENDING, message, waiting=True)
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
            return PortProblem(Reason.PORT_CONFLICT, message)
    if rivals:  # the same target by two ways: said with an allow-list, it is meant
        if claim.sources and not rivals[0].sources and rivals[0].host_address == claim.host_address:
            there[claim.host_address] = replace(rivals[0], sources=claim.sources)
        return None
    ours = incumbents.get(claim.key) is not None or claim.key[:2] in engine_held
    listener = None if ours else _listener(claim, listeners)
    if listener is not None:
        message = (
            f"{claim} is taken by a process of the host that listens on {shown(listener.address)}:{listener.port};"
            " stop it, or choose another port"
        )
        return PortProblem(Reason.PORT_TAKEN, message)
    there[claim.host_address] = claim
    return None


def _listener(claim: Claim, listeners: Collection[Listener]) -> Listener | None:
    """A process that would no longer be reached."""
    return next(
        (
            each
            for each in listeners
            if (each.protocol, each.port) == claim.key[:2]
            and (claim.host_address is None or each.address in (ANY, claim.host_address))
        ),
        None,
    )


def _held_by_engine(containers: Iterable[Container]) -> Iterator[tuple[str, int]]:
    """Ports that the engine has given out on IPv6: whatever listens there is the engine's, for that container."""
    for container in containers:
        for binding in container.ports:
            if not isinstance(binding.host_address, IPv4Address):
                yield binding.protocol, binding.host_port


def _intent(claim: Claim) -> PortIntent | None:
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
