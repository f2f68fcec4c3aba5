"""``dockerv6 doctor``: look at this host, whether a daemon runs or not, and change nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from dockerv6.controller.world import World
from dockerv6.daemon import checks
from dockerv6.daemon.checks import CheckStatus, HostCheck
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.model import EngineInfo
from dockerv6.dockerd.port import Engine, EngineError
from dockerv6.firewall import detect, userland_proxy
from dockerv6.firewall.hostfilter.linux import LinuxHostFilter, engine_variants
from dockerv6.firewall.ipv6nat import presence as ipv6nat
from dockerv6.firewall.ipv6nat.presence import Ipv6NatPresence
from dockerv6.firewall.nftables.library import SONAME, LibNft
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallError
from dockerv6.hostnet.linux import LinuxHostNet
from dockerv6.hostnet.port import HostNetError
from dockerv6.lib.clock import SystemClock
from dockerv6.source.files import FileOwnership
from dockerv6.source.load import Loader
from dockerv6.source.model import Severity
from dockerv6.store.lock import lock_holder

T = TypeVar("T")

_EXPECTED = (EngineError, FirewallError, HostNetError, OSError, ImportError)
"""What may be wrong with a host: each becomes a check that fails, and the others go on. ImportError: no libiptc."""

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class _Instruments:
    """What is looked with."""

    settings: Settings
    engine: Engine
    world: World
    session: NftSession


def examine(settings: Settings) -> tuple[HostCheck, ...]:
    """Every check of this host, in the order in which they are worth reading.

    Raises:
        ValueError: DOCKER_HOST or its certificates are unusable.
    """
    return asyncio.run(_examine(settings))


def suspects(names: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
    """Containers that may be docker-ipv6nat, by name, Compose service and network mode: it works on the host's network.

    The list of containers doesn't tell their images, and names are people's choice, so this is a hint and no proof.
    """
    return tuple(name for name, service, mode in names if mode == "host" and "ipv6nat" in f"{name} {service}")


async def running_suspects(engine: Engine) -> tuple[str, ...]:
    """The same, of the engine's running containers. Raises `EngineError`."""
    return suspects(
        (each.name, each.labels.get("com.docker.compose.service", ""), each.network_mode)
        for each in await engine.containers()
    )


async def _examine(settings: Settings) -> tuple[HostCheck, ...]:
    capabilities = _capabilities()
    may_look = bool(capabilities >> checks.CAP_NET_ADMIN & 1)  # into the packet filter; without, it looks empty
    async with _instruments(settings) as with_:
        found = [checks.privileges(capabilities), HostCheck("kernel", CheckStatus.OK, os.uname().release)]
        if may_look:
            found += await _nftables(with_)
        info = await _tried("engine", with_.engine.info, found)
        if info is not None:
            found.append(checks.engine(info))
        unread: list[HostCheck] = []
        presence = None
        if may_look:
            presence = await _tried("docker-ipv6nat", lambda: ipv6nat.detect(with_.session), unread)
            found += await _filters(with_, presence, info)
        found += await _host(with_)
        found += await _installation(settings)
        if may_look:
            containers = await _tried("docker-ipv6nat", lambda: running_suspects(with_.engine), []) or ()
            found += unread or [checks.docker_ipv6nat(presence, containers)]
        return tuple(found)


@asynccontextmanager
async def _instruments(settings: Settings) -> AsyncIterator[_Instruments]:
    async with AsyncExitStack() as stack:
        engine = DockerEngine(settings.docker_host)
        stack.push_async_callback(engine.close)
        host = LinuxHostNet()
        stack.push_async_callback(host.close)
        session = NftSession()
        stack.push_async_callback(session.close)
        yield _Instruments(settings, engine, World(engine, host, SystemClock()), session)


async def _tried(name: str, question: Callable[[], Awaitable[T]], failures: list[HostCheck]) -> T | None:
    try:
        return await question()
    except _EXPECTED as error:
        failures.append(HostCheck(name, CheckStatus.FAIL, str(error)))
        return None


async def _nftables(with_: _Instruments) -> list[HostCheck]:
    missing: list[HostCheck] = []
    there = await _tried("nf_tables", with_.session.generation, missing)
    chosen: list[HostCheck] = []
    choice = await _tried(
        "firewall backend", lambda: detect.choose(with_.settings.firewall_backend, with_.session), chosen
    )
    if choice is not None:
        chosen.append(checks.backend(choice))
    return [checks.nf_tables(there, missing, needed=choice is None), await asyncio.to_thread(_library), *chosen]


def _library() -> HostCheck:
    try:
        LibNft()
    except OSError as error:
        message = f"{error}: a process is run for each change instead"
        return HostCheck("libnftables", CheckStatus.WARN, message, ("apt install libnftables1 (or nftables)",))
    return HostCheck("libnftables", CheckStatus.OK, SONAME)


async def _filters(with_: _Instruments, presence: Ipv6NatPresence | None, info: EngineInfo | None) -> list[HostCheck]:
    found: list[HostCheck] = []
    variants = await _tried("engine's IPv6 rules", lambda: engine_variants(with_.session), found)
    if variants is not None:
        found += checks.engine_rules(variants, presence, info)
    unread: list[HostCheck] = []
    proxy = await _tried("userland proxy", lambda: userland_proxy.in_use(with_.session), unread)
    found += unread or [checks.userland_proxy(in_use=proxy)]
    hostfilter = LinuxHostFilter(with_.session)
    state = await _tried("host filter", lambda: hostfilter.observe(with_.settings.fwmark), found)
    if state is not None:
        found += checks.host_filter(state)
    return found


async def _host(with_: _Instruments) -> list[HostCheck]:
    found: list[HostCheck] = []
    view = await _tried("network stack", with_.world.host_view.get, found)
    if view is not None:
        found += [
            checks.forwarding(view),
            checks.router_advertisements(view),
            checks.uplink(view),
            checks.uplink_mtu(view),
            checks.proxy_neighbours(view),
            checks.bridge_netfilter(view),
        ]
        told = await _tried("prefixes", with_.world.host.prefixes, found)
        if told is not None:
            found.append(checks.prefixes(view, told))
    return found


async def _installation(settings: Settings) -> list[HostCheck]:
    found: list[HostCheck] = []
    ownership = FileOwnership.of_this_process(settings.trusted_uids)
    loader = Loader(settings.config_dirs, clock=SystemClock(), ownership=ownership, settle=0)
    snapshot = await asyncio.to_thread(loader.load)
    flaws = sum(each.severity is Severity.ERROR for each in snapshot.diagnostics)
    found.append(checks.resources(settings.config_dirs, len(snapshot.resources), flaws))
    found.append(await asyncio.to_thread(_state_directory, Path(settings.state_dir)))
    unread: list[HostCheck] = []
    at_work = await _tried("daemon", partial(_daemon, settings), unread)
    return [*found, *(unread or [checks.daemon(at_work)])]


async def _daemon(settings: Settings) -> int | None:
    return await asyncio.to_thread(lock_holder, Path(settings.state_dir))


def _state_directory(directory: Path) -> HostCheck:
    if not directory.exists():
        return HostCheck("state directory", CheckStatus.OK, f"{directory} is not there; the daemon makes it")
    if os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        return HostCheck("state directory", CheckStatus.OK, str(directory))
    return HostCheck("state directory", CheckStatus.FAIL, f"{directory} can't be read and written", ("run as root",))


def _capabilities() -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
