"""``dockerv6 doctor --probe``: a throw-away container on each network, what its packets meet, and what to do."""

import asyncio
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from dockerv6.api.kinds import NETWORK
from dockerv6.daemon.findings import FindingId, HostCheck, fail, ok, warn
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.port import EngineError
from dockerv6.dockerd.throwaway import StartedContainer, ThrowawayContainers
from dockerv6.firewall.model import FlowProblem
from dockerv6.hostnet import links
from dockerv6.hostnet.model import Interface
from dockerv6.hostnet.namespaces import NetworkNamespace
from dockerv6.hostnet.routes import RouteReader
from dockerv6.hostnet.sockets import ContainerProcesses
from dockerv6.lib.networking import EgressMode
from dockerv6.lib.statefile import StateFileMissingError
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.host.interfaces import external_addresses, is_default_route
from dockerv6.planning.inputs import HostView
from dockerv6.probe.attempts import Outcome, Prober
from dockerv6.probe.targets import AnyAddress, ProbeRequest, ProbeTarget, nameservers, next_hops
from dockerv6.store.tables import read_objects

EMBEDDED_DNS = IPv4Address("127.0.0.11")
"""The engine's resolver in each container of a network that is not the default bridge."""

_HOST_RESOLVERS = Path("/etc/resolv.conf")

_NEUTRAL_NAME = "ipv4only.arpa"
"""A name of the root servers' operators for hosts that ask their resolver about DNS64 (RFC 7050); it has no AAAA."""

_BEYOND = IPv6Address("2000::1")
"""An unassigned address. With a hop limit of 2 a packet to it ends at the host's next hop, and nobody else sees it."""

_ADDRESS_PATIENCE, _PAUSE = 10.0, 0.1  # seconds; duplicate address detection of the bridge and of the container


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


PacketWalk = Callable[[], Awaitable[Mapping[str, Sequence[FlowProblem]]]]


def networks_of(database: Path) -> tuple[ProbedNetwork, ...]:
    """The IPv6Networks with their status. Raises `StateFileError`."""
    try:
        return tuple(ProbedNetwork(each.name, each.status) for each in read_objects(database, NETWORK))
    except StateFileMissingError:
        return ()


@dataclass(frozen=True, slots=True)
class _Outside:
    """What the host knows of the outside.

    Attributes:
        targets: to ping, and to connect to where they have a port.
        chosen: the user named them.
        address: of the host, for clients; None: it has none.
    """

    targets: tuple[ProbeTarget, ...]
    chosen: bool
    address: IPv6Address | None


async def probe(
    settings: Settings,
    request: ProbeRequest,
    known: Sequence[ProbedNetwork],
    host: HostView,
    walk: PacketWalk,
) -> list[HostCheck]:
    """Probe networks one after the other, and remove what that needed, however it ends.

    Args:
        settings: where the engine is.
        request: what the user asked for.
        known: all networks.
        host: the host's network stack.
        walk: finds what is in the way of flows, by owner.
    """
    unknown = [name for name in request.networks if name not in {each.name for each in known}]
    if unknown:
        message = f"there is no IPv6Network of that name; known: {', '.join(each.name for each in known) or 'none'}"
        return [fail(FindingId.PROBE_IMPOSSIBLE, f"{name}: probe", message, "dockerv6 get v6net") for name in unknown]
    networks = [each for each in known if each.name in request.networks or not request.networks]
    if not networks:
        return [warn(FindingId.NO_RESOURCE, "probe", "there is no IPv6Network to probe", "dockerv6 get v6net")]
    try:
        with _lock(Path(settings.state_dir)):
            containers = ThrowawayContainers(settings.docker_host, settings.state_dir, request.image)
            try:
                await containers.remove_all()  # what a run left that was killed
                prober = _Probe(containers, _outside(request, host), walk)
                found = [each for network in networks for each in await prober.network(network)]
                return found + await prober.published(networks)
            finally:
                await containers.remove_all()
                await containers.close()
    except (EngineError, OSError) as error:
        message = str(error) if isinstance(error, EngineError) else f"{error.strerror}: {error.filename or 'probe'}"
        return [fail(FindingId.PROBE_IMPOSSIBLE, "probe", message, "run it as root, on the host of the engine")]


@contextmanager
def _lock(state_dir: Path) -> Iterator[None]:
    """One probe of an installation at a time, so that all labelled containers of before are leftovers."""
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise EngineError("another `dockerv6 doctor --probe` is running; wait until it has ended") from error
    finally:
        os.close(descriptor)


class _Probe:
    def __init__(self, containers: ThrowawayContainers, outside: _Outside, walk: PacketWalk) -> None:
        self._containers = containers
        self._outside = outside
        self._walk = walk
        self._host = Prober(_host_socket, "this host")

    async def network(self, network: ProbedNetwork) -> list[HostCheck]:
        if not network.text("networkID"):
            message = "it has no Docker network yet"
            return [fail(FindingId.PROBE_IMPOSSIBLE, f"{network.name}: probe", message, _describe(network))]
        try:
            container = await self._containers.start(network.text("networkID"))
            async with _inside(container) as (namespace, resolvers):
                found = await self._from_inside(network, container, namespace, resolvers)
            await self._containers.remove_all()
        except EngineError as error:
            return [fail(FindingId.PROBE_IMPOSSIBLE, f"{network.name}: probe", str(error), _describe(network))]
        return found

    async def _from_inside(
        self,
        network: ProbedNetwork,
        container: StartedContainer,
        namespace: NetworkNamespace,
        resolvers: Sequence[AnyAddress],
    ) -> list[HostCheck]:
        name = f"{network.name}: address"
        interface, own = await _own_address(namespace)
        if own is None:
            message = f"container {container.name} got no usable IPv6 address in {_ADDRESS_PATIENCE:.0f} s"
            return [fail(FindingId.PROBE_NO_ADDRESS, name, message, _describe(network))]
        routed = any(is_default_route(route) for route in namespace.run(RouteReader().read))
        prober = Prober(namespace.open_socket, f"{own} on {network.name}")
        if routed or not network.leads_out:
            found = [ok(name, f"{own} on {interface.name}" + (", and a default route" if routed else ""))]
        else:
            message = f"container {container.name} has {own}, and no IPv6 default route"
            found = [fail(FindingId.PROBE_NO_ROUTE, name, message, _describe(network))]
        work = [self._gateway(network, prober), self._dns(network, prober, container, own, resolvers)]
        if network.leads_out:
            work += [self._target(network, prober, each, interface.mtu, resolvers) for each in self._outside.targets]
            if not self._outside.targets:
                message = "not tested: this host has no IPv6 default route and no IPv6 resolver"
                work.append(_already(warn(FindingId.PROBE_NO_TARGET, f"{network.name}: outside", message, _TARGET)))
        return found + [each for several in await asyncio.gather(*work) for each in several]

    async def _gateway(self, network: ProbedNetwork, prober: Prober) -> list[HostCheck]:
        name, gateway = f"{network.name}: gateway", network.text("gateway")
        if not gateway:
            return []
        outcome = await prober.ping(IPv6Address(gateway))
        if outcome.passed:
            return [ok(name, outcome.message)]
        commands = [f"ip -6 address show dev {shell_quoted(network.text('bridge'))}"] if network.text("bridge") else []
        return [fail(FindingId.PROBE_GATEWAY_UNREACHABLE, name, outcome.message, *commands, _describe(network))]

    async def _target(
        self,
        network: ProbedNetwork,
        prober: Prober,
        target: ProbeTarget,
        mtu: int,
        resolvers: Sequence[AnyAddress],
    ) -> list[HostCheck]:
        name, address = f"{network.name}: outside", target.address
        if address is None:
            outcome, addresses = await prober.resolve(resolvers[0], target.host) if resolvers else (None, ())
            if not addresses:
                message = outcome.message if outcome is not None else "the container has no resolver"
                return [fail(FindingId.PROBE_DNS_FAILED, name, message, *self._remedy(network, ()))]
            address = addresses[0]
        hops = 2 if address == _BEYOND else 64
        found = [await self._tried(network, prober, lambda each: each.ping(address, hops))]
        reached = found[0].id is None
        port = target.port
        if port is not None:
            found.append(await self._tried(network, prober, lambda each: each.connect(address, port)))
        if reached and hops > 2:  # noqa: PLR2004 - the far end answers, not only the next hop
            found.append(self._path_mtu(network, await prober.path_mtu(address, mtu)))
        return found

    async def _tried(
        self, network: ProbedNetwork, prober: Prober, attempt: Callable[[Prober], Awaitable[Outcome]]
    ) -> HostCheck:
        """Try it from the container, and if it fails from the host too, to tell whose fault it is."""
        name, outcome = f"{network.name}: outside", await attempt(prober)
        if outcome.passed:
            return ok(name, outcome.message)
        compared = await attempt(self._host)
        if not compared.passed:
            message = f"{outcome.message}; the host itself does not get through either ({compared.message})"
            report = fail if self._outside.chosen or outcome.rejected else warn
            return report(FindingId.PROBE_OUTSIDE_UNREACHABLE, name, message, "ip -6 route", *_CAPTURE)
        said, commands = await self._walked(network)
        hint = ""
        if not said and network.text("egress") == EgressMode.ROUTED and not outcome.rejected:
            hint = f"; does the router of this host have a route for {network.text('subnet')} via this host?"
        message = f"{outcome.message}; the host itself gets through{said}{hint}"
        return fail(FindingId.PROBE_EGRESS_BLOCKED, name, message, *self._remedy(network, commands))

    def _path_mtu(self, network: ProbedNetwork, outcome: Outcome) -> HostCheck:
        name = f"{network.name}: path MTU"
        if outcome.passed:
            return ok(name, outcome.message)
        width = max(outcome.mtu, 1280)
        remedy = f"let ICMPv6 type 2 pass where the path narrows, or set spec.bridge.mtu: {width} and updateStrategy"
        return fail(FindingId.PROBE_PATH_MTU_BLACK_HOLE, name, outcome.message, remedy)

    async def _dns(
        self,
        network: ProbedNetwork,
        prober: Prober,
        container: StartedContainer,
        own: IPv6Address,
        resolvers: Sequence[AnyAddress],
    ) -> list[HostCheck]:
        name, found = f"{network.name}: DNS", []
        if not resolvers:
            message = f"container {container.name} has no nameserver in /etc/resolv.conf"
            return [fail(FindingId.PROBE_DNS_FAILED, name, message, "docker info")]
        if resolvers[0] == EMBEDDED_DNS:
            outcome, addresses = await prober.resolve(resolvers[0], container.name)
            if own not in addresses:
                message = f"{outcome.message}; expected {own}: the engine's resolver does not know its container"
                return [fail(FindingId.PROBE_DNS_FAILED, name, message, "journalctl --unit docker")]
            found.append(ok(name, outcome.message))
        if network.leads_out:
            asked = next((each.host for each in self._outside.targets if each.address is None), _NEUTRAL_NAME)
            outcome, _ = await prober.resolve(resolvers[0], asked)
            if outcome.passed:
                found.append(ok(name, outcome.message))
            else:
                upstream = nameservers(_HOST_RESOLVERS)[:1]
                compared = "".join([f"; {(await self._host.resolve(each, asked))[0].message}" for each in upstream])
                remedy = "see which resolvers the engine uses: /etc/resolv.conf, and `dns` in /etc/docker/daemon.json"
                found.append(fail(FindingId.PROBE_DNS_FAILED, name, outcome.message + compared, remedy))
        return found

    async def published(self, networks: Sequence[ProbedNetwork]) -> list[HostCheck]:
        """The published TCP ports, from a namespace that stands for the outside."""
        ports = [(network, port) for network in networks for port in _ports(network)]
        if not ports:
            return []
        namespace, prober, target = None, self._host, self._outside.address
        where = "from this host itself, whose packets take another path than those of clients"
        try:
            namespace = NetworkNamespace.create()
            name, host_end, client = namespace.join()
            where = (
                f"from a namespace behind {name} that stands for the outside; rules for other interfaces don't see it"
            )
            prober, target = Prober(namespace.open_socket, f"{client} ({name})"), target or host_end
        except OSError as error:
            where += f" (no namespace: {error.strerror})"
        try:
            return list(await asyncio.gather(*(self._port(n, p, prober, target, where) for n, p in ports)))
        finally:
            if namespace is not None:
                namespace.close()

    async def _port(
        self,
        network: ProbedNetwork,
        port: Mapping[str, object],
        prober: Prober,
        target: IPv6Address | None,
        where: str,
    ) -> HostCheck:
        name = f"{network.name}: published"
        written = IPv6Address(str(port["hostAddress"]))
        address = target if written.is_unspecified else written
        shown = f"{port['protocol']} port {port['port']} of {port['container'] or port['address']}"
        if address is None or port["protocol"] != "tcp" or port.get("from"):
            why = "the host has no address" if address is None else "only TCP that is open to all can be"
            return ok(name, f"{shown}: not tested, {why}")
        outcome = await prober.connect(address, int(str(port["port"])))
        if outcome.passed:
            return ok(name, f"{shown}: {outcome.message}, {where}")
        if "refused (reset)" in outcome.message:
            remedy = f"docker exec {shell_quoted(str(port['container']))} ss -lnt"
            message = f"{shown}: {outcome.message}: nothing listens on [::]:{port['targetPort']} in the container"
            return warn(FindingId.PROBE_PORT_REFUSED, name, message, remedy)
        said, commands = await self._walked(network)
        message = f"{shown}: {outcome.message}, {where}{said}"
        return fail(FindingId.PROBE_PORT_UNREACHABLE, name, message, *self._remedy(network, commands))

    async def _walked(self, network: ProbedNetwork) -> tuple[str, tuple[str, ...]]:
        """What the packet walk says of the network's flows, and its commands."""
        found = (await self._walk()).get(network.name, ())
        said = "".join(f"; {each.message}" for each in found)
        return said, tuple(dict.fromkeys(command for each in found for command in each.commands))

    @staticmethod
    def _remedy(network: ProbedNetwork, commands: Sequence[str]) -> tuple[str, ...]:
        return tuple(commands) or (_describe(network), *_CAPTURE)


_TARGET = "name a host outside: --probe-target HOST[:PORT]"
_CAPTURE = ("watch where they end, while it is repeated: tcpdump -ni any icmp6",)


def _describe(network: ProbedNetwork) -> str:
    return f"dockerv6 describe ipv6network/{network.name}"


async def _already(check: HostCheck) -> list[HostCheck]:
    return [check]


@asynccontextmanager
async def _inside(container: StartedContainer) -> AsyncIterator[tuple[NetworkNamespace, tuple[AnyAddress, ...]]]:
    """The network namespace of a container, and its resolvers.

    Raises:
        EngineError: its processes can't be seen, or may not be entered.
    """
    process = await asyncio.to_thread(ContainerProcesses().process, container.id)
    if process is None:
        raise EngineError(
            f"container {container.name} runs where its processes can't be seen: the engine is on another host, or"
            " dockerv6 in a container without the host's PID namespace (--pid=host)"
        )
    try:
        namespace = NetworkNamespace.of_process(process)
        namespace.run(lambda: None)
        resolvers = nameservers(Path(f"/proc/{process}/root/etc/resolv.conf"))
    except OSError as error:
        raise EngineError(
            f"the network namespace of a container can't be entered ({error.strerror}): this needs root with"
            " CAP_SYS_ADMIN and CAP_SYS_PTRACE"
        ) from error
    try:
        yield namespace, resolvers
    finally:
        namespace.close()


async def _own_address(namespace: NetworkNamespace) -> tuple[Interface, IPv6Address | None]:
    """The container's interface and address, once duplicate address detection is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _ADDRESS_PATIENCE
    while True:
        found = [each for each in namespace.run(links.interfaces) if each.name != "lo"]
        for interface in found:
            for address in interface.addresses:
                if address.ip not in interface.tentative:
                    return interface, address.ip
        if loop.time() >= end:
            return (found or list(namespace.run(links.interfaces)))[0], None
        await asyncio.sleep(_PAUSE)


def _outside(request: ProbeRequest, host: HostView) -> _Outside:
    uplinks = {route.interface for route in host.routes if is_default_route(route)}
    usable = [
        each.ip
        for name, interface in host.interfaces.items()
        for each in interface.addresses
        if name in uplinks and each.ip not in interface.tentative
    ]
    address = next(iter((*usable, *sorted(external_addresses(host)))), None)
    if request.targets:
        return _Outside(request.targets, True, address)
    hops = [_BEYOND if each.is_link_local else each for each in next_hops(Path("/proc/thread-self/net/ipv6_route"))]
    pinged = [ProbeTarget(str(each), each) for each in dict.fromkeys(hops)]
    servers = (each for each in nameservers(_HOST_RESOLVERS) if isinstance(each, IPv6Address))
    resolvers = [
        ProbeTarget(str(each), each, 53) for each in servers if not each.is_loopback and not each.is_link_local
    ]
    return _Outside((*pinged, *resolvers), False, address)


def _ports(network: ProbedNetwork) -> list[Mapping[str, object]]:
    found = network.status.get("publishedPorts")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _host_socket(family: int, kind: int, protocol: int) -> socket.socket:
    return socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
