"""Which port of the host is forwarded to which container.

If several claim a port, the container that has it keeps it; otherwise the oldest container gets it. The others get a
finding, and the port as soon as it is free.

A process of the host that listens on a port has it, also if it begins to listen after the port was published. Only the
engine's own listener is no obstacle: it holds the port for the container. While the listeners can't be read, ports stay
as they are, and no further one is taken. `publish.ports` does not get the ports of
`RESERVED` and of services with connections either, which may only be between a stop and a start. `force` overrides
both.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

from dockerv6.api.conditions import Reason
from dockerv6.api.traffic import ANY_ADDRESS
from dockerv6.dockerd.model import Container
from dockerv6.firewall.model import PortIntent
from dockerv6.hostnet.model import Listener
from dockerv6.lib.networking import TransportProtocol
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

RESERVED = {22: "SSH", 2375: "the Docker API", 2376: "the Docker API"}
"""TCP ports of services by which an administrator reaches the host. ``publish.ports`` gets them with ``force`` only."""

Incumbents = Mapping[PortKey, tuple[IPv6Address, int]]
"""The present targets of ports: address and port of the container."""


@dataclass(frozen=True, slots=True)
class PortAssignment:
    """The targets of the host's ports, and why claims were not granted."""

    ports: tuple[PortIntent, ...] = ()
    names: Mapping[PortKey, str] = field(default_factory=dict)  # names of the target containers
    problems: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)  # by owner

    @property
    def incumbents(self) -> Incumbents:
        """The targets after this assignment."""
        return {(str(p.protocol), p.port, p.host_address): (p.target, p.target_port) for p in self.ports}


@dataclass(frozen=True, slots=True)
class HostPorts:
    """The ports that the host uses itself.

    Attributes:
        listeners: its listening sockets.
        served: TCP ports of connections that clients opened to its processes.
        own: the TCP port of this operator's HTTP server.
        problem: why they can't be read now, so that there may be others; "": they can.
    """

    listeners: frozenset[Listener] = frozenset()
    served: frozenset[int] = frozenset()
    own: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Holders:
    """The containers to which the engine gave a port on IPv6: the listener on it is the engine's proxy."""

    served: bool = False  # a container whose binding is a claim has it
    others: tuple[str, ...] = ()  # names of other containers


def assign_ports(
    publishing_networks: Iterable[PublishingNetwork],
    containers: Iterable[Container],
    incumbents: Incumbents,
    host: HostPorts = HostPorts(),
) -> PortAssignment:
    """Grant every port to one claim.

    Args:
        publishing_networks: the live networks with their publish blocks, each once.
        containers: all running ones.
        incumbents: the present targets; their claims take precedence.
        host: the ports that the host uses itself.
    """
    by_network = {network.network_id: network for network in publishing_networks}
    running = tuple(containers)
    problems: dict[str, list[Finding]] = {}
    found = [*from_containers(by_network, running)]
    engine_ports = _held_by_engine(running, frozenset(claim.container.id for claim in found))
    for own in own_ports(by_network.values(), running):
        if isinstance(own, PortClaim):
            found.append(own)
        else:
            owner, problem = own
            problems.setdefault(owner, []).append(problem)
    occupied: dict[tuple[str, int], dict[IPv6Address | None, PortClaim]] = {}
    for claim in sorted(found, key=lambda each: _rank(each, incumbents)):
        present = claim.key in incumbents or (*claim.key[:2], None) in incumbents
        refusal = _grant(claim, occupied, engine_ports, replace(host, problem="") if present else host)
        if refusal is not None and refusal not in problems.get(claim.owner, ()):
            problems.setdefault(claim.owner, []).append(refusal)
    granted: list[PortClaim] = []
    for claims in occupied.values():
        on_all = claims.get(None)
        granted += claims.values() if on_all is None else (on_all,)
        for claim in claims.values():
            if on_all is not None and claim.sources and claim.sources != on_all.sources:
                problems.setdefault(claim.owner, []).append(_open_anyway(claim))
    granted.sort(key=lambda each: (each.owner, *each.key[:2], str(each.host_address)))
    return PortAssignment(
        tuple(intent for claim in granted if (intent := _intent(claim)) is not None),
        {claim.key: claim.container.name for claim in granted},
        {owner: tuple(each) for owner, each in problems.items()},
    )


def _rank(claim: PortClaim, incumbents: Incumbents) -> tuple[object, ...]:
    """The present target keeps its port, even on another of its networks; then older containers come first."""
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


def _grant(
    claim: PortClaim,
    occupied: dict[tuple[str, int], dict[IPv6Address | None, PortClaim]],
    engine_ports: Mapping[tuple[str, int], _Holders],
    host: HostPorts,
) -> Finding | None:
    """Grant the claim, or return why not."""
    if claim.address is None:
        message = f"{claim}: container {claim.container.name} has no IPv6 address on network {claim.network} yet"
        return port_finding(Reason.ADDRESS_PENDING, message, waiting=True)
    claims = occupied.setdefault((str(claim.protocol), claim.port), {})
    rivals = [
        other
        for address, other in claims.items()
        if address == claim.host_address or address is None or claim.host_address is None
    ]
    for rival in rivals:
        if rival.container.id != claim.container.id or rival.target_port != claim.target_port:
            target = f"container {rival.container.name} (of {rival.owner})"
            message = (
                f"{claim} for container {claim.container.name} is already forwarded to {target}; choose another port"
            )
            return port_finding(Reason.PORT_CONFLICT, message)
    same = claims.get(claim.host_address)
    if same is not None:  # the same target twice: the allow-list applies
        if claim.sources and not same.sources:
            claims[claim.host_address] = replace(same, sources=claim.sources)
        return None
    refusal = None if claim.force else _used_by_host(claim, engine_ports.get(claim.key[:2], _Holders()), host)
    if refusal is None:
        claims[claim.host_address] = claim
    return refusal


def _used_by_host(claim: PortClaim, holders: _Holders, host: HostPorts) -> Finding | None:
    """Why the host keeps the port; None: it does not."""
    if holders.served or claim.container.name in holders.others:
        return None
    force = "choose another port, or write force: true to take it" if claim.from_resource else "choose another port"
    listener = _listener(claim, host.listeners)
    if listener is not None:
        message = f"{claim} is in use by {_listener_name(listener, holders)}; stop it, {force}"
        return port_finding(Reason.PORT_TAKEN, message, retry=PORT_RETRY)
    if host.problem:
        message = (
            f"{claim} is not published: whether a host process uses it is unknown, because the sockets of the host"
            f" can't be read ({host.problem}); see whether `ss -lntu` shows them"
        )
        message += ", or write force: true to publish it nevertheless" if claim.from_resource else ""
        return port_finding(Reason.HOST_UNREADABLE, message, retry=PORT_RETRY)
    return _reserved(claim, host, force)


def _reserved(claim: PortClaim, host: HostPorts, force: str) -> Finding | None:
    """Why the port is kept for a service of the host that may only be stopped. ``force``: the end of the remedy."""
    if not claim.from_resource or claim.protocol is not TransportProtocol.TCP:
        return None
    service = "dockerv6 itself" if claim.port == host.own else RESERVED.get(claim.port, "")
    if service:
        return port_finding(Reason.PORT_RESERVED, f"{claim} is reserved for {service} of the host; {force}")
    if claim.port in host.served:
        message = (
            f"{claim} has connections to a process of the host, such as an administrator's session; close them, {force}"
        )
        return port_finding(Reason.PORT_RESERVED, message, retry=PORT_RETRY)
    return None


def _open_anyway(claim: PortClaim) -> Finding:
    """The allow-list of one address has no effect: the port is open to more clients on all addresses."""
    message = (
        f"{claim} for container {claim.container.name} can't be limited to some clients, because the port is also"
        " published on all addresses; write `from` there, or publish the port on single addresses only"
    )
    return port_finding(Reason.PORT_CONFLICT, message)


def _listener(claim: PortClaim, listeners: Collection[Listener]) -> Listener | None:
    """A listening process that the claim would make unreachable."""
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
    """The containers to which the engine gave ports. ``served``: ids of containers whose bindings are claims."""
    found: dict[tuple[str, int], _Holders] = {}
    for container in containers:
        for key in {(b.protocol, b.host_port) for b in container.ports if not isinstance(b.host_address, IPv4Address)}:
            known = found.get(key, _Holders())
            if container.id in served:
                found[key] = replace(known, served=True)
            else:
                found[key] = replace(known, others=(*known.others, container.name))
    return found


def _listener_name(listener: Listener, holders: _Holders) -> str:
    if holders.others:
        return f"container {', '.join(holders.others)}, whose port the engine publishes"
    return f"a host process that listens on {bracketed(listener.address)}:{listener.port}"


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
