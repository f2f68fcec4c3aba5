"""Published ports that lead to a process which listens over IPv4 only: it refuses connections over IPv6.

Before the container has an IPv6 address, the engine's userland proxy translates to IPv4. Once it has one, every engine
starts the proxy again with the IPv6 address (measured with 20.10 and 28.5), so no rule of ours can bring this back.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from dockerv6.api.conditions import Reason
from dockerv6.dockerd.model import Container
from dockerv6.firewall.model import PortIntent
from dockerv6.hostnet.model import ContainerSockets
from dockerv6.planning.firewall.port_claims import bracketed, port_finding
from dockerv6.planning.plan import Finding


class Service(NamedTuple):
    """A port of a container."""

    container: str  # its id
    protocol: str
    port: int


def published_services(ports: Iterable[PortIntent], containers: Iterable[Container]) -> dict[Service, frozenset[str]]:
    """The services that published ports lead to, with the owners of the ports."""
    ids = {end.ipv6: each.id for each in containers for end in each.endpoints if end.ipv6 is not None}
    found: dict[Service, frozenset[str]] = {}
    for port in ports:
        if port.target in ids:
            service = Service(ids[port.target], str(port.protocol), port.target_port)
            found[service] = found.get(service, frozenset()) | {port.owner}
    return found


def ipv4_only_services(services: Iterable[Service], sockets: Mapping[str, ContainerSockets]) -> frozenset[Service]:
    """Those that wait over IPv4 and not over IPv6. One that waits over neither may not have started yet."""
    return frozenset(
        each
        for each in services
        if (known := sockets.get(each.container)) is not None
        and (each.protocol, each.port) in known.ipv4
        and (each.protocol, each.port) not in known.ipv6
    )


def ipv4_only_findings(
    ports: Iterable[PortIntent], containers: Iterable[Container], ipv4_only: Collection[Service]
) -> tuple[Finding, ...]:
    """One finding for all of an owner's ports that lead to such a service."""
    by_address = {end.ipv6: each for each in containers for end in each.endpoints if end.ipv6 is not None}
    found = [
        f"{port.protocol} port {port.port} on {bracketed(port.host_address)} leads to port {port.target_port} of"
        f" container {container.name}, which listens over IPv4 only (0.0.0.0)"
        for port in ports
        if (container := by_address.get(port.target)) is not None
        and Service(container.id, str(port.protocol), port.target_port) in ipv4_only
    ]
    if not found:
        return ()
    message = (
        f"{'; '.join(found)}: connections over IPv6 are refused. Let the program listen on [::], often by an option"
        " such as --host :: or HOST=::, or take the container off this network"
    )
    return (port_finding(Reason.IPV4_ONLY, message),)
