"""Published ports of a network, tried from a namespace that stands for the outside."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

from dockerv6.daemon.findings import FindingId, HostCheck, ok, warn
from dockerv6.hostnet.namespaces import NetworkNamespace
from dockerv6.lib.networking import EgressMode
from dockerv6.lib.text import shell_quoted
from dockerv6.probe.attempts import Prober


@dataclass(frozen=True, slots=True)
class ProbedNetwork:
    """An IPv6Network, from its status."""

    name: str
    status: Mapping[str, object]

    def text(self, key: str) -> str:
        """A field of the status; "": there is none."""
        return str(self.status.get(key) or "")

    @property
    def leads_out(self) -> bool:
        """Whether containers are meant to reach the outside."""
        return self.text("egress") != EgressMode.NONE


Explain = Callable[[str, str, ProbedNetwork, FindingId], Awaitable[HostCheck]]
"""Adds to a failure what the packet walk says: the check's name, its message, the network, the finding."""


def describe(network: ProbedNetwork) -> str:
    """The command that shows what the daemon knows of a network."""
    return f"dockerv6 describe ipv6network/{network.name}"


async def published(
    networks: Sequence[ProbedNetwork], address: IPv6Address | None, explain: Explain
) -> list[HostCheck]:
    """Try the published TCP ports.

    Packets of that namespace come in through an interface that is no Docker network's, as clients' packets do; but not
    through the uplink, whose name rules of others may match. Each message says where it was tried from.

    Args:
        networks: with the ports in their status.
        address: of the host, for clients; None: it has none.
        explain: for what fails.
    """
    ports = [(network, port) for network in networks for port in _ports(network)]
    if not ports:
        return []
    namespace = None
    prober, where = (
        Prober(host_socket, "this host"),
        "from this host itself, whose packets take another path than clients'",
    )
    try:
        namespace = NetworkNamespace.create()
        name, host_end, client = namespace.join()
        prober, address = Prober(namespace.open_socket, f"{client} ({name})"), address or host_end
        where = f"from a namespace behind {name}, which stands for the outside but is not the uplink"
    except OSError as error:
        where += f" (no other namespace can be made: {error.strerror})"
    try:
        return list(await asyncio.gather(*(_port(*each, prober, address, where, explain) for each in ports)))
    finally:
        if namespace is not None:
            namespace.close()


async def _port(
    network: ProbedNetwork,
    port: Mapping[str, object],
    prober: Prober,
    address: IPv6Address | None,
    where: str,
    explain: Explain,
) -> HostCheck:
    name = f"{network.name}: published"
    written = IPv6Address(str(port["hostAddress"]))
    target = address if written.is_unspecified else written
    shown = f"{port['protocol']} port {port['port']} of {port['container'] or port['address']}"
    if target is None or port["protocol"] != "tcp" or port.get("from"):
        why = "the host has no address" if target is None else "only TCP ports that are open to all can be"
        return ok(name, f"{shown}: not tested, {why}")
    outcome = await prober.connect(target, int(str(port["port"])))
    if outcome.passed:
        return ok(name, f"{shown}: {outcome.message}, {where}")
    if outcome.reset:
        remedy = f"docker exec {shell_quoted(str(port['container']))} ss -lnt"
        unserved = f"nothing listens on [::]:{port['targetPort']} in the container, or a firewall resets connections"
        message = f"{shown}: {outcome.message}: {unserved}"
        return warn(FindingId.PROBE_PORT_REFUSED, name, message, remedy)
    return await explain(name, f"{shown}: {outcome.message}, {where}", network, FindingId.PROBE_PORT_UNREACHABLE)


def _ports(network: ProbedNetwork) -> list[Mapping[str, object]]:
    found = network.status.get("publishedPorts")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def host_socket(family: int, kind: int, protocol: int) -> socket.socket:
    """A non-blocking socket of this process's namespace. Raises `OSError`."""
    return socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
