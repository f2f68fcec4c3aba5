"""``dockerv6 cleanup``: remove what another program left on this host."""

import asyncio
from dataclasses import dataclass

from dockerv6.daemon.doctor import running_suspects
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.port import EngineError
from dockerv6.firewall.ipv6nat.presence import Ipv6NatPresence, detect, remove
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """What was removed, or would be.

    Attributes:
        removed: a line for each rule and chain.
        notes: what stays, and what else is to be done.
    """

    removed: tuple[str, ...]
    notes: tuple[str, ...] = ()


def docker_ipv6nat(settings: Settings, *, dry_run: bool) -> CleanupReport:
    """Remove docker-ipv6nat's rules and chains, in both variants of xtables; nothing there is success.

    Raises:
        FirewallRejected: it is running, or the rules changed meanwhile; at most one variant was cleaned.
        FirewallUnavailable: not permitted.
        ValueError: DOCKER_HOST or its certificates are unusable.
    """
    return asyncio.run(_docker_ipv6nat(settings, dry_run=dry_run))


async def _docker_ipv6nat(settings: Settings, *, dry_run: bool) -> CleanupReport:
    session = NftSession()
    try:
        presence = await detect(session)
        if presence is None:
            return CleanupReport(())
        await _refuse_while_running(presence, settings)
        if not dry_run:
            await remove(session, presence)
        return CleanupReport(_lines(presence), tuple(_notes(presence)))
    finally:
        await session.close()


async def _refuse_while_running(presence: Ipv6NatPresence, settings: Settings) -> None:
    """By its process; by a container's name only where no process can be seen, since a name proves nothing."""
    if presence.running:
        raise FirewallRejected(
            f"{presence.summary}. It would write its rules again: stop it first "
            "(docker rm -f ipv6nat, or systemctl disable --now docker-ipv6nat)"
        )
    engine = DockerEngine(settings.docker_host)
    try:
        names = await running_suspects(engine)
    except EngineError:  # without an engine it does nothing either
        return
    finally:
        await engine.close()
    if names:
        raise FirewallRejected(
            f"container {', '.join(names)} seems to be docker-ipv6nat, which would write its rules again: stop it "
            "first, or rename it if it is something else"
        )


def _lines(presence: Ipv6NatPresence) -> tuple[str, ...]:
    rules = [f"{found.variant}: -t {rule.table} {rule}" for found in presence.rules for rule in found.rules]
    chains = [f"{found.variant}: -t {table} -N {name}" for found in presence.rules for table, name in found.chains]
    return (*rules, *chains)


def _notes(presence: Ipv6NatPresence) -> list[str]:
    notes = [
        f"{found.variant}: chain {name} of table {table} stays: other rules are in it or lead to it"
        for found in presence.rules
        for table, name in found.kept
    ]
    if presence.engine_rules:
        notes.append(
            "the engine's own IPv6 rules are on: docker-ipv6nat emptied their chains when it started and wrote into "
            "them; restart the engine, which writes them again (live-restore keeps containers running meanwhile)"
        )
    return notes
