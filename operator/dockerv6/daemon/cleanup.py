"""``dockerv6 cleanup``: remove what another program left on this host."""

import asyncio

from dockerv6.daemon.doctor import running_suspects
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.port import EngineError
from dockerv6.firewall.ipv6nat.presence import IPv6NatPresence, detect, remove
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected

_STOP = "stop it first (docker rm -f ipv6nat, or systemctl disable --now docker-ipv6nat)"


def docker_ipv6nat(settings: Settings, *, dry_run: bool) -> IPv6NatPresence | None:
    """Remove docker-ipv6nat's rules and chains, in both variants of xtables. Gives what was found; None: nothing.

    Raises:
        FirewallRejected: it is running, or the rules changed meanwhile; at most one variant was cleaned.
        FirewallUnavailable: not permitted.
        DockerHostError: DOCKER_HOST or its certificates are unusable.
    """
    return asyncio.run(_docker_ipv6nat(settings, dry_run=dry_run))


async def _docker_ipv6nat(settings: Settings, *, dry_run: bool) -> IPv6NatPresence | None:
    session = NftSession()
    try:
        presence = await detect(session)
        if presence is not None:
            await _refuse_while_running(presence, settings)
            if not dry_run:
                await remove(session, presence)
        return presence
    finally:
        await session.close()


async def _refuse_while_running(presence: IPv6NatPresence, settings: Settings) -> None:
    """By its process; by a container's name only where no process can be seen, since a name proves nothing."""
    if presence.processes:
        raise FirewallRejected(f"{presence.summary}. It would write its rules again: {_STOP}")
    engine = DockerEngine(settings.docker_host)
    try:
        names = await running_suspects(engine)
    except EngineError:  # without an engine it does nothing either
        return
    finally:
        await engine.close()
    if names:
        raise FirewallRejected(
            f"container {', '.join(names)} seems to be docker-ipv6nat, which would write its rules again: {_STOP}, "
            "or rename the container if it is something else"
        )
