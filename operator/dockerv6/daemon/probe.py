"""``dockerv6 doctor --probe``: send packets from a temporary container on each network."""

import asyncio
import fcntl
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from dockerv6.daemon.engine_process import EngineProcess
from dockerv6.daemon.findings import FindingId, HostCheck, fail, ok, warn
from dockerv6.daemon.probe_networks import ProbedNetwork, describe, remedy_of
from dockerv6.daemon.probe_ports import published
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.port import EngineError
from dockerv6.dockerd.throwaway import StartedContainer, ThrowawayContainers
from dockerv6.firewall.model import FlowProblem
from dockerv6.hostnet import links
from dockerv6.hostnet.model import Interface
from dockerv6.hostnet.namespaces import NetworkNamespace
from dockerv6.hostnet.routes import RouteReader
from dockerv6.hostnet.sockets import ContainerProcesses
from dockerv6.lib.networking import MINIMUM_MTU, EgressMode
from dockerv6.lib.tasks import together
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.host.interfaces import external_addresses, is_default_route
from dockerv6.planning.inputs import HostView
from dockerv6.probe.attempts import ProbeOutcome, Prober
from dockerv6.probe.targets import (
    AnyAddress,
    ProbeRequest,
    ProbeTarget,
    may_be_outside,
    nameservers,
    next_hops,
)

EMBEDDED_DNS = IPv4Address("127.0.0.11")
"""The engine's resolver in each container of a network that is not the default bridge."""

_NO_RESOLVER = IPv4Address("127.0.0.1")
"""What resolvers ask without a nameserver (resolv.conf(5))."""

_HOST_RESOLVERS = Path("/etc/resolv.conf")

_NEUTRAL_NAME = "ipv4only.arpa"
"""A name that every resolver knows (RFC 7050). It is the same for all hosts, so the query discloses nothing."""

_BEYOND = IPv6Address("2000::1")
"""An unassigned address. By their hop limit, packets to it end at the host's next hop."""

_ADDRESS_PATIENCE, _PAUSE = 10.0, 0.1  # seconds; duplicate address detection of the bridge and of the container

FollowFlows = Callable[[], Awaitable[Mapping[str, Sequence[FlowProblem]]]]


@dataclass(frozen=True, slots=True)
class _Outside:
    """What the host knows of the outside.

    Attributes:
        targets: to ping, and to connect to where they have a port.
        chosen: the user named them.
        address: of the host, for clients; None: it has none.
        own: all addresses of the host.
    """

    targets: tuple[ProbeTarget, ...]
    chosen: bool
    address: IPv6Address | None
    own: frozenset[str]


async def probe(
    settings: Settings,
    request: ProbeRequest,
    known: Sequence[ProbedNetwork],
    host: HostView,
    walk: FollowFlows,
    engine: EngineProcess | None,
) -> list[HostCheck]:
    """Probe networks one after the other. Temporary containers are removed at the end, also after an error.

    Args:
        settings: where the engine is.
        request: what the user asked for.
        known: all networks.
        host: the host's network stack.
        walk: finds the rules that drop flows, by owner.
        engine: its process; None: it can't be seen.
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
                await containers.remove_all()  # left by a run that was killed
                outside = _outside(request, host)
                prober = _Probe(containers, outside, walk, engine)
                found = [each for network in networks for each in await prober.network(network)]
                return found + await published(networks, outside.address, prober.explained)
            finally:
                with suppress(EngineError):  # report the first error; a later run removes the rest
                    await containers.remove_all()
                await containers.close()
    except (EngineError, OSError) as error:
        return [fail(FindingId.PROBE_IMPOSSIBLE, "probe", _message_of(error), *remedy_of(error))]


@dataclass(frozen=True, slots=True)
class _Inside:
    """A container by its name, its network namespace and resolver, and the interface with its address."""

    name: str
    namespace: NetworkNamespace
    resolver: AnyAddress
    interface: Interface
    address: IPv6Address


@contextmanager
def _lock(state_dir: Path) -> Iterator[None]:
    """One probe of an installation at a time, so that all labelled containers of before are leftovers."""
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EngineError("another probe is running on this host; wait until it has ended") from error
        yield
    finally:
        os.close(descriptor)


class _Probe:
    def __init__(
        self, containers: ThrowawayContainers, outside: _Outside, walk: FollowFlows, engine: EngineProcess | None
    ) -> None:
        self._containers = containers
        self._outside = outside
        self._walk = walk
        self._engine = engine
        self._walked: asyncio.Future[Mapping[str, Sequence[FlowProblem]]] | None = None
        self._host = Prober(_host_socket, "this host", outside.own)

    async def network(self, network: ProbedNetwork) -> list[HostCheck]:
        if not network.text("networkID"):
            message = "it has no Docker network yet"
            return [fail(FindingId.PROBE_IMPOSSIBLE, f"{network.name}: probe", message, describe(network))]
        checks: list[HostCheck] = []
        try:
            container = await self._containers.start(network.text("networkID"))
            namespace, resolvers = await _entered(container)
            with closing(namespace):
                found = await _own_address(namespace)
                if found is None:
                    message = f"container {container.name} got no usable IPv6 address in {_ADDRESS_PATIENCE:.0f} s"
                    checks.append(
                        fail(FindingId.PROBE_NO_ADDRESS, f"{network.name}: address", message, describe(network))
                    )
                else:
                    checks += await self._from_inside(network, _Inside(container.name, namespace, resolvers[0], *found))
            await self._containers.remove_all()
        except (EngineError, OSError) as error:  # the other networks may be fine
            name = f"{network.name}: probe"
            checks.append(
                fail(FindingId.PROBE_IMPOSSIBLE, name, _message_of(error), *remedy_of(error), describe(network))
            )
        return checks

    async def _from_inside(self, network: ProbedNetwork, inside: _Inside) -> list[HostCheck]:
        name = f"{network.name}: address"
        own, interface = inside.address, inside.interface
        prober = Prober(inside.namespace.open_socket, f"{own} on {network.name}", self._outside.own | {str(own)})
        routed = any(is_default_route(route) for route in inside.namespace.run(RouteReader().read))
        if routed or not network.leads_out:
            found = [ok(name, f"{own} on {interface.name}" + (", and a default route" if routed else ""))]
        else:
            message = f"container {inside.name} has {own}, and no IPv6 default route"
            found = [fail(FindingId.PROBE_NO_ROUTE, name, message, describe(network))]
        leads_out = network.leads_out or (routed and not network.text("bridge"))  # macvlan, ipvlan: not by the host
        asked = next((each.host for each in self._outside.targets if each.address is None), _NEUTRAL_NAME)
        work = [self._gateway(network, prober), self._dns(network, prober, inside, asked if leads_out else "")]
        if leads_out:
            work += [self._target(network, prober, each, inside) for each in self._outside.targets]
            if not self._outside.targets:
                message = "not tested: this host has no IPv6 default route and no IPv6 resolver"
                found.append(warn(FindingId.PROBE_NO_TARGET, f"{network.name}: outside", message, _TARGET))
        return found + [each for several in await together(*work) for each in several]

    async def _gateway(self, network: ProbedNetwork, prober: Prober) -> list[HostCheck]:
        name, gateway = f"{network.name}: gateway", network.text("gateway")
        if not gateway:
            return []
        outcome = await prober.ping(IPv6Address(gateway))
        if outcome.passed:
            return [ok(name, outcome.message)]
        commands = [f"ip -6 address show dev {shell_quoted(network.text('bridge'))}"] if network.text("bridge") else []
        return [fail(FindingId.PROBE_GATEWAY_UNREACHABLE, name, outcome.message, *commands, describe(network))]

    async def _target(
        self, network: ProbedNetwork, prober: Prober, target: ProbeTarget, inside: _Inside
    ) -> list[HostCheck]:
        name, address = f"{network.name}: outside", target.address
        if address is None:
            outcome, addresses = await prober.resolve(inside.resolver, target.host)
            address = next(filter(may_be_outside, addresses), None)  # resolvers with a list of names may answer ::
            if address is None:
                return [await self.explained(name, outcome.message, network, FindingId.PROBE_DNS_FAILED)]

        def ping(sender: Prober) -> Awaitable[ProbeOutcome]:
            if address != _BEYOND:
                return sender.ping(address)
            routers = 2 if network.text("bridge") and sender is prober else 1
            return sender.ping(address, routers)

        found = [await self._tried(network, prober, ping)]
        reached = found[0].id is None
        port = target.port
        if port is not None:
            found.append(await self._tried(network, prober, lambda each: each.connect(address, port)))
            if found[0].id == FindingId.PROBE_OUTSIDE_UNREACHABLE and found[1].id is None:
                found[0] = ok(name, f"{address} does not answer echo requests; its port {port} does")
        if reached and address != _BEYOND:
            found.append(self._path_mtu(network, await prober.path_mtu(address, inside.interface.mtu)))
        return found

    async def _tried(
        self, network: ProbedNetwork, prober: Prober, attempt: Callable[[Prober], Awaitable[ProbeOutcome]]
    ) -> HostCheck:
        """Try it from the container. If it fails, try it from the host too, to find out where the cause is."""
        name, outcome = f"{network.name}: outside", await attempt(prober)
        if outcome.passed or (outcome.reset and not self._outside.chosen):  # a resolver need not speak TCP
            return ok(name, outcome.message)
        compared = await attempt(self._host)
        if not compared.passed:
            message = f"{outcome.message}; the host itself does not reach it either ({compared.message})"
            report = fail if self._outside.chosen or outcome.rejected else warn
            return report(FindingId.PROBE_OUTSIDE_UNREACHABLE, name, message, "ip -6 route", _CAPTURE)
        hint = ""
        if network.text("egress") in {EgressMode.ROUTED, EgressMode.PREFIX_TRANSLATION} and not outcome.rejected:
            translated = network.status.get("translatedTo")
            prefix = translated[0] if isinstance(translated, list) else network.text("subnet")
            hint = f"; does the router of this host have a route to {prefix} via this host?"
        message = f"{outcome.message}; the host itself reaches it{hint}"
        return await self.explained(name, message, network, FindingId.PROBE_EGRESS_BLOCKED)

    def _path_mtu(self, network: ProbedNetwork, outcome: ProbeOutcome) -> HostCheck:
        name = f"{network.name}: path MTU"
        if outcome.passed:
            return ok(name, outcome.message)
        remedy = f"let ICMPv6 type 2 pass where the path narrows, or set spec.bridge.mtu: {MINIMUM_MTU}"
        return fail(FindingId.PROBE_PATH_MTU_BLACK_HOLE, name, outcome.message, remedy)

    async def _dns(self, network: ProbedNetwork, prober: Prober, inside: _Inside, asked: str) -> list[HostCheck]:
        name, found = f"{network.name}: DNS", []
        unit, config = (self._engine.unit, self._engine.config) if self._engine else ("", "daemon.json")
        if inside.resolver == EMBEDDED_DNS:
            outcome, addresses = await prober.resolve(EMBEDDED_DNS, inside.name)
            if inside.address not in addresses:
                expected = f"expected {inside.address}: the engine's resolver does not know its container"
                message = f"{outcome.message}; {expected}"
                log = f"journalctl --unit {shell_quoted(unit)}" if unit else "read the log of the engine"
                return [fail(FindingId.PROBE_DNS_FAILED, name, message, log)]
            found.append(ok(name, outcome.message))
        if asked:
            outcome, _ = await prober.resolve(inside.resolver, asked)
            if outcome.passed:
                found.append(ok(name, outcome.message))
            else:
                upstream = nameservers(_HOST_RESOLVERS)[:1]
                compared = [(await self._host.resolve(each, asked))[0] for each in upstream]
                message = "; ".join([outcome.message, *(each.message for each in compared)])
                mine = self._outside.chosen or not compared or compared[0].passed
                remedy = f"check which resolvers the engine uses: {_HOST_RESOLVERS}, and `dns` in {config}"
                found.append((fail if mine else warn)(FindingId.PROBE_DNS_FAILED, name, message, remedy))
        return found

    async def explained(self, name: str, message: str, network: ProbedNetwork, finding: FindingId) -> HostCheck:
        """A failure, with the rules that the packet walk found in the way, and its commands."""
        if self._walked is None or self._walked.cancelled():  # with a probe that waited for it
            self._walked = asyncio.ensure_future(self._walk())
        found = (await self._walked).get(network.name, ())[:_SHOWN]
        commands = tuple(dict.fromkeys(command for each in found for command in each.commands))
        rules = "".join(f"; {each.message}" for each in found)
        return fail(finding, name, message + rules, *(commands or (describe(network), _CAPTURE)))


_TARGET = "name a host outside: --probe-target HOST[:PORT]"
_CAPTURE = "watch where the packets get lost while you repeat it: tcpdump -ni any icmp6"
_SHOWN = 3  # of the packet walk's findings


async def _entered(container: StartedContainer) -> tuple[NetworkNamespace, Sequence[AnyAddress]]:
    """The network namespace of a container, and its resolvers, of which there is one at least.

    Raises:
        EngineError: its processes can't be seen, or may not be entered.
    """
    process = await asyncio.to_thread(ContainerProcesses().process, container.id)
    if process is None:
        raise EngineError(
            f"the processes of container {container.name} can't be seen from here: the engine is on another host,"
            " dockerv6 runs in a container without the host's PID namespace (--pid=host), or its program ended at once"
        )
    try:
        with ExitStack() as opened:
            namespace = opened.enter_context(closing(NetworkNamespace.of_process(process)))
            namespace.run(lambda: None)
            resolvers = nameservers(Path(f"/proc/{process}/root/etc/resolv.conf")) or (_NO_RESOLVER,)
            opened.pop_all()  # the caller closes it
            return namespace, resolvers
    except OSError as error:
        raise EngineError(
            f"the network namespace of a container can't be entered ({error.strerror}): this needs root with"
            " CAP_SYS_ADMIN and CAP_SYS_PTRACE"
        ) from error


def _message_of(error: EngineError | OSError) -> str:
    if isinstance(error, EngineError):
        return str(error)
    return ": ".join(str(each) for each in (error.strerror, error.filename) if each) or type(error).__name__


async def _own_address(namespace: NetworkNamespace) -> tuple[Interface, IPv6Address] | None:
    """The container's interface and address, once duplicate address detection is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _ADDRESS_PATIENCE
    while True:
        for interface in namespace.run(links.interfaces):
            for address in interface.addresses:
                if address.ip not in interface.tentative:
                    return interface, address.ip
        if loop.time() >= end:
            return None
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
    own = frozenset(str(each.ip) for interface in host.interfaces.values() for each in interface.addresses)
    if request.targets:
        return _Outside(request.targets, True, address, own)
    hops = [_BEYOND if each.is_link_local else each for each in next_hops(Path("/proc/thread-self/net/ipv6_route"))]
    # a link to just one router, or to a VPN that replaces the default route, has no next hop
    pinged = [ProbeTarget(str(each), each) for each in dict.fromkeys(hops or [_BEYOND] * bool(uplinks))]
    servers = (each for each in nameservers(_HOST_RESOLVERS) if isinstance(each, IPv6Address))
    resolvers = [
        ProbeTarget(str(each), each, 53) for each in servers if not each.is_loopback and not each.is_link_local
    ]
    return _Outside((*pinged, *resolvers), False, address, own)


def _host_socket(family: int, kind: int, protocol: int) -> socket.socket:
    return socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
