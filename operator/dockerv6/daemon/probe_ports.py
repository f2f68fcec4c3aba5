"""Published ports of a network, tried from a temporary namespace that acts as a client outside."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import IPv6Address

from dockerv6.daemon.findings import FindingId, HostCheck, fail, ok, warn
from dockerv6.daemon.probe_networks import ProbedNetwork, remedy_of
from dockerv6.hostnet.namespaces import NetworkNamespace
from dockerv6.lib.tasks import together
from dockerv6.lib.text import shell_quoted
from dockerv6.probe.attempts import Prober

Explain = Callable[[str, str, ProbedNetwork, FindingId], Awaitable[HostCheck]]
"""Adds to a failure what the packet walk says: the check's name, its message, the network, the finding."""


async def published(
    networks: Sequence[ProbedNetwork], address: IPv6Address | None, explain: Explain
) -> list[HostCheck]:
    """Try the published TCP ports.

    Packets of that namespace enter through an interface that belongs to no Docker network, as those of clients do. But
    they don't enter through the uplink, which rules of other programs may name. Each message says where the connection
    came from.

    Args:
        networks: with the ports in their status.
        address: of the host, for clients; None: it has none.
        explain: for what fails.
    """
    ports = [(network, port) for network in networks for port in _ports(network)]
    if not ports:
        return []
    namespace = None
    try:
        namespace = NetworkNamespace.create()
        name, host_end, client = namespace.join()
        prober = Prober(namespace.open_socket, f"{client} ({name})")
        slots = asyncio.Semaphore(_AT_ONCE)

        async def tried(network: ProbedNetwork, port: Mapping[str, object]) -> HostCheck:
            async with slots:
                return await _port(network, port, prober, address or host_end, explain)

        return await together(*(tried(*each) for each in ports))
    except OSError as error:
        message = f"published ports are not tested, because a network namespace can't be created: {error.strerror}"
        return [fail(FindingId.PROBE_IMPOSSIBLE, "probe", message, *remedy_of(error))]
    finally:
        if namespace is not None:
            namespace.close()


async def _port(
    network: ProbedNetwork, port: Mapping[str, object], prober: Prober, address: IPv6Address, explain: Explain
) -> HostCheck:
    name = f"{network.name}: published"
    written = IPv6Address(str(port["hostAddress"]))
    target, number = address if written.is_unspecified else written, int(str(port["port"]))
    shown = f"{port['protocol']} port {number} of {port['container'] or port['address']}"
    if port["protocol"] != "tcp" or port.get("from") or written.is_loopback or written.is_link_local:
        return ok(name, f"{shown}: not tested, only TCP ports that are open to all can be")
    outcome = await prober.connect(target, number)
    if outcome.reset:
        unserved = f"nothing listens on [::]:{port['targetPort']} in the container, or a firewall resets connections"
        remedy = [f"docker exec {shell_quoted(str(port['container']))} ss -lnt"] if port["container"] else []
        return warn(FindingId.PROBE_PORT_REFUSED, name, f"{shown}: {outcome.message}: {unserved}", *remedy)
    by_host = outcome.passed and (await prober.connect(target, number, hops=1)).passed
    message = f"{shown}: {outcome.message}" + (f" by {_PROXY}" if by_host else "") + f", {_WHERE}"
    if outcome.passed and not by_host:
        return ok(name, message)
    return await explain(name, message, network, FindingId.PROBE_PORT_UNREACHABLE)


_AT_ONCE = 64  # each has two sockets, and 1024 files is a usual limit of a process
_WHERE = "from a temporary namespace behind a veth pair, like a client outside, but not through the uplink"
_PROXY = "a process of this host, such as the engine's docker-proxy, which proves nothing about the container"


def _ports(network: ProbedNetwork) -> list[Mapping[str, object]]:
    found = network.status.get("publishedPorts")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
