"""``dockerv6 doctor``: check this host, whether the daemon runs or not. It changes nothing."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from dockerv6.controller.engine_chains import ENGINE_CHAINS, EngineChains
from dockerv6.controller.packet_walk import addresses_of, find_flow_problems
from dockerv6.controller.world import World
from dockerv6.daemon import checks, engine_process, engine_settings
from dockerv6.daemon.engine_process import EngineProcessError
from dockerv6.daemon.findings import FindingId, HostCheck, fail, ok
from dockerv6.daemon.probe import probe
from dockerv6.daemon.probe_networks import networks_of
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.model import EngineInfo
from dockerv6.dockerd.port import Engine, EngineError
from dockerv6.firewall import detect, engine_chains, userland_proxy
from dockerv6.firewall.hostfilter.linux import LinuxHostFilter, engine_variants
from dockerv6.firewall.ipv6nat import presence as ipv6nat
from dockerv6.firewall.ipv6nat.presence import IPv6NatPresence
from dockerv6.firewall.model import FlowProblem
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallError
from dockerv6.firewall.xtables import libiptc
from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.hostnet.lock import namespace_in_use
from dockerv6.hostnet.port import HostNetError
from dockerv6.lib.clock import SystemClock
from dockerv6.lib.prefixes import GLOBAL_ID_BYTES, ula_prefix
from dockerv6.lib.statefile import StateFileError, StateFileMissingError
from dockerv6.lib.tasks import run_until_signal, to_cancellable_thread
from dockerv6.probe.targets import ProbeRequest
from dockerv6.source.files import FileOwnership
from dockerv6.source.git.checkout import GitCheckout, with_commits
from dockerv6.source.load import Loader
from dockerv6.source.model import Severity, Snapshot
from dockerv6.store.lock import lock_holder
from dockerv6.store.memory import MemoryStore
from dockerv6.store.tables import read_problems, read_records, read_warnings

T = TypeVar("T")

_EXPECTED = {
    EngineError: FindingId.ENGINE_UNAVAILABLE,
    FirewallError: FindingId.FIREWALL_UNAVAILABLE,
    HostNetError: FindingId.HOST_UNREADABLE,
    StateFileError: FindingId.STATE_UNREADABLE,
    OSError: FindingId.HOST_UNREADABLE,
}
"""Errors that become a failed check, after which the others go on."""

_STATUS = Path("/proc/self/status")

_WALKS = 3
"""Packet walks at most. One during which the daemon changes our table may find rules that its flows are not of."""


@dataclass(frozen=True, slots=True)
class _Sources:
    """What the checks read from."""

    settings: Settings
    engine: Engine
    world: World
    session: NftSession


def examine(settings: Settings, request: ProbeRequest | None = None) -> tuple[HostCheck, ...]:
    """Run every check of this host, in the order of reading, and the probes that are requested.

    Raises:
        DockerHostError: DOCKER_HOST or its certificates are unusable.
    """
    return run_until_signal(_examine(settings, request))


def suspects(names: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
    """Containers that may be docker-ipv6nat: its name is in theirs, and they use the host's network.

    A hint and no proof: the list of containers has no images.

    Args:
        names: name, Compose service and network mode of each container.
    """
    return tuple(name for name, service, mode in names if mode == "host" and "ipv6nat" in f"{name} {service}")


async def running_suspects(engine: Engine) -> tuple[str, ...]:
    """Names of the engine's running containers that may be docker-ipv6nat. Raises `EngineError`."""
    return suspects(
        (each.name, each.labels.get("com.docker.compose.service", ""), each.network_mode)
        for each in await engine.containers()
    )


async def _examine(settings: Settings, request: ProbeRequest | None) -> tuple[HostCheck, ...]:
    capabilities = _capabilities()
    may_read = may_read_filters()
    async with _open_sources(settings) as sources:
        found = [checks.privileges(capabilities), ok("kernel", os.uname().release)]
        if may_read:
            found += await _nftables(sources)
        info = await _try("engine", sources.engine.info, found)
        if info is not None:
            found += [checks.engine(info), *checks.swarm(info)]
        unread: list[HostCheck] = []
        presence = None
        if may_read:
            presence = await _try("docker-ipv6nat", lambda: ipv6nat.detect(sources.session), unread)
            found += await _filters(sources, presence, info)
        found += await _host(sources)
        snapshot = await _resources(settings)
        if info is not None and may_read:
            found += await _engine_settings(sources, info, snapshot)
        found += await _installation(settings, snapshot)
        if may_read:
            containers = await _try("docker-ipv6nat", lambda: running_suspects(sources.engine), []) or ()
            found += unread or [checks.docker_ipv6nat(presence, containers)]
        if request is not None:
            found += await _probe(sources, request, info)
        return tuple(found)


async def _probe(sources: _Sources, request: ProbeRequest, info: EngineInfo | None) -> list[HostCheck]:
    found: list[HostCheck] = []
    host = await _try("probe", sources.world.host_view.get, found)
    networks = await _try("probe", partial(asyncio.to_thread, networks_of, sources.settings.database), found)

    async def walk() -> Mapping[str, Sequence[FlowProblem]]:
        hostfilter = LinuxHostFilter(sources.session)
        try:
            return await _try("host filter", lambda: _flow_problems(sources, hostfilter), []) or {}
        finally:
            await hostfilter.close()

    if host is None or networks is None:
        return found
    engine = None
    if info is not None:
        with suppress(EngineProcessError, OSError):  # the check of its settings says why
            engine = await asyncio.to_thread(engine_process.find, info, sources.settings.docker_host)
    return await probe(sources.settings, request, networks, host, walk, engine)


@asynccontextmanager
async def _open_sources(settings: Settings) -> AsyncIterator[_Sources]:
    async with AsyncExitStack() as stack:
        engine = DockerEngine(settings.docker_host)
        stack.push_async_callback(engine.close)
        host = LinuxHostNet()
        stack.push_async_callback(host.close)
        session = NftSession()
        stack.push_async_callback(session.close)
        yield _Sources(settings, engine, World(engine, host, SystemClock()), session)


async def _try(name: str, question: Callable[[], Awaitable[T]], failures: list[HostCheck]) -> T | None:
    """The answer; None, and a failed check, when an expected error was raised."""
    try:
        return await question()
    except tuple(_EXPECTED) as error:
        finding = next(found for kind, found in _EXPECTED.items() if isinstance(error, kind))
        failures.append(fail(finding, name, str(error)))
        return None


async def _nftables(sources: _Sources) -> list[HostCheck]:
    missing: list[HostCheck] = []
    there = await _try("nf_tables", sources.session.generation, missing)
    chosen: list[HostCheck] = []
    choice = await _try(
        "firewall backend", lambda: detect.choose(sources.settings.firewall_backend, sources.session), chosen
    )
    if choice is not None:
        chosen.append(checks.backend(choice))
    return [checks.nf_tables(there, missing, needed=choice is None), *chosen]


async def _filters(sources: _Sources, presence: IPv6NatPresence | None, info: EngineInfo | None) -> list[HostCheck]:
    found: list[HostCheck] = []
    variants = await _try("engine's IPv6 rules", lambda: engine_variants(sources.session), found)
    if variants is not None:
        found += checks.engine_rules(variants, presence, info)
    missing = await _try("engine's chains", lambda: _missing_chains(sources), found)
    if missing is not None:
        found.append(checks.engine_chains(missing))
    unread: list[HostCheck] = []
    proxy = await _try("userland proxy", lambda: userland_proxy.in_use(sources.session), unread)
    found += unread or [checks.userland_proxy(in_use=proxy)]
    hostfilter = LinuxHostFilter(sources.session)
    mark = sources.settings.fwmark
    try:
        state = await _try("host filter", lambda: hostfilter.observe(mark), found)
        if state is not None:
            problems = await _try("host filter", lambda: _flow_problems(sources, hostfilter), found) or {}
            found += checks.host_filter(state, (each for owner in sorted(problems) for each in problems[owner]))
            found += checks.legacy_tables(variants or (), state, installed=libiptc.installed())
    finally:
        await hostfilter.close()
    return found


async def _flow_problems(sources: _Sources, hostfilter: LinuxHostFilter) -> Mapping[str, tuple[FlowProblem, ...]]:
    """What is in the way of the flows that the rules in the kernel let through, by owner."""
    choice = await detect.choose(sources.settings.firewall_backend, sources.session)
    backend = detect.build(choice, sources.session)
    try:
        host = await sources.world.host_view.get()
        running = addresses_of(await _try("containers", sources.engine.containers, []) or ())
        mark = sources.settings.fwmark
        table = await backend.observe()
        for _ in range(_WALKS):
            before = table
            found = await find_flow_problems(hostfilter, before, host, mark, running)
            table = await backend.observe()
            if table == before:
                return found
        return {owner: tuple(p for p in problems if not p.ours) for owner, problems in found.items()}
    finally:
        await backend.close()


async def _missing_chains(sources: _Sources) -> str:
    """The chains that the engine had when a daemon or `apply` looked last, and has no longer."""
    seen = MemoryStore()
    try:
        records = await asyncio.to_thread(read_records, sources.settings.database, ENGINE_CHAINS)
    except StateFileMissingError:
        records = {}
    for name, value in records.items():
        await seen.put_record(ENGINE_CHAINS, name, value)
    chains = EngineChains(partial(engine_chains.read, sources.session), seen, sources.world, SystemClock(), grace=0)
    await chains.load()
    await chains.check()
    return chains.missing


async def _host(sources: _Sources) -> list[HostCheck]:
    found: list[HostCheck] = []
    networks = await _try("networks", sources.world.networks, [])  # without the engine, its check fails
    view = await _try("network stack", sources.world.host_view.get, found)
    if view is not None:
        found += [
            checks.forwarding(view),
            checks.router_advertisements(view),
            checks.uplink(view),
            checks.uplink_mtu(view),
            checks.proxy_neighbours(view),
            checks.bridge_netfilter(view),
        ]
        if networks is not None:
            found += [*checks.routes(view, tuple(networks)), checks.source_validation(view, networks)]
        reported = await _try("prefixes", sources.world.host.prefixes, found)
        if reported is not None:
            found.append(checks.prefixes(view, reported))
    return found


async def _resources(settings: Settings) -> Snapshot:
    ownership = FileOwnership.of_this_process(settings.trusted_uids)
    loader = Loader(settings.roots, clock=SystemClock(), ownership=ownership, settle=0)
    checkouts = {source.root: GitCheckout(source) for source in settings.git_sources}
    return with_commits(await to_cancellable_thread(loader.load), checkouts)


async def _engine_settings(sources: _Sources, info: EngineInfo, snapshot: Snapshot) -> list[HostCheck]:
    name = "engine settings"
    try:
        process = await asyncio.to_thread(engine_process.find, info, sources.settings.docker_host)
        read = await asyncio.to_thread(process.settings, info.release)
    except EngineProcessError as error:
        return [ok(name, f"not checked: {error}")]
    except OSError as error:
        return [fail(FindingId.HOST_UNREADABLE, name, str(error))]
    networks = await _try("networks", sources.world.networks, []) or ()
    wanted_by = engine_settings.names_of_default_bridge(each.resource for each in snapshot.resources)
    prefix = next(ula_prefix(os.urandom(GLOBAL_ID_BYTES)).subnets(new_prefix=64))
    return list(engine_settings.check(read, tuple(networks), wanted_by, prefix))


async def _installation(settings: Settings, snapshot: Snapshot) -> list[HostCheck]:
    found: list[HostCheck] = []
    if settings.git_sources:
        found.append(checks.git(shutil.which("git")))
    errors = sum(each.severity is Severity.ERROR for each in snapshot.diagnostics)
    found.append(checks.resources(settings.roots, len(snapshot.resources), errors))
    found.append(await asyncio.to_thread(_state_directory, Path(settings.state_dir)))
    reported = await _try("state file", lambda: asyncio.to_thread(_problems, settings.database), found)
    found += checks.problems(*(reported or ((), ())))
    daemon = await _try("daemon", partial(_daemon, settings), found)
    return [*found, daemon] if daemon is not None else found


def _problems(file: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        return read_problems(file), read_warnings(file)
    except StateFileMissingError:
        return (), ()  # the daemon has not run yet


async def _daemon(settings: Settings) -> HostCheck:
    pid = await asyncio.to_thread(lock_holder, Path(settings.state_dir))
    return checks.daemon(pid, namespace_in_use=await asyncio.to_thread(namespace_in_use))


def _state_directory(directory: Path) -> HostCheck:
    if not directory.exists():
        return ok("state directory", f"{directory} does not exist; the daemon creates it")
    if os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        return ok("state directory", str(directory))
    return fail(FindingId.STATE_UNREADABLE, "state directory", f"{directory} can't be read and written", "run as root")


def may_read_filters() -> bool:
    """Whether this process may read the packet filter, which seems empty without CAP_NET_ADMIN."""
    return bool(_capabilities() >> checks.CAP_NET_ADMIN & 1)


def _capabilities() -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
