"""``dockerv6 cleanup``: remove what another program left on this host."""

import asyncio
from dataclasses import dataclass

from dockerv6.daemon.doctor import running_suspects
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.port import EngineError
from dockerv6.firewall.ipv6nat.residue import Residue, find, remove
from dockerv6.firewall.ipv6nat.rules import Certainty
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected

_ATTEMPTS = 3
"""Somebody else's change may come between looking and removing; more often than this it is no accident."""


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What was removed, or would be.

    Attributes:
        removed: a line for each rule and chain.
        notes: what was left, and what is still to be done.
    """

    removed: tuple[str, ...]
    notes: tuple[str, ...] = ()


def docker_ipv6nat(settings: Settings, *, dry_run: bool) -> Cleanup:
    """Remove docker-ipv6nat's rules and chains, in both variants of xtables; nothing there is success.

    Raises:
        FirewallRejected: it is at work, or the rules change all the time; nothing, or only one variant, was cleaned.
        FirewallUnavailable: not permitted.
        ValueError: DOCKER_HOST or its certificates are unusable.
    """
    return asyncio.run(_docker_ipv6nat(settings, dry_run=dry_run))


async def _docker_ipv6nat(settings: Settings, *, dry_run: bool) -> Cleanup:
    session = NftSession()
    try:
        residue = await find(session, thorough=True)
        if residue is None:
            return Cleanup(())
        await _refuse_while_at_work(residue, settings)
        if not dry_run:
            residue = await _remove(session, residue)
        return Cleanup(_lines(residue), tuple(_notes(residue)))
    finally:
        await session.close()


async def _refuse_while_at_work(residue: Residue, settings: Settings) -> None:
    """By its process; by a container's name only where no process is to be seen, since names prove nothing."""
    if residue.at_work:
        raise FirewallRejected(
            f"{residue.message.partition(':')[0]} and would write its rules again: stop it first "
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


async def _remove(session: NftSession, residue: Residue) -> Residue:
    """Give what was removed in the end."""
    for _ in range(_ATTEMPTS - 1):
        try:
            await remove(session, residue)
        except FirewallRejected:
            again = await find(session, thorough=True)
            if again is None or again.at_work:
                raise
            residue = again
        else:
            return residue
    await remove(session, residue)
    return residue


def _lines(residue: Residue) -> tuple[str, ...]:
    rules = [f"{t.variant}: -t {rule.table} {rule}" for t in residue.traces for rule in t.verdict.rules]
    chains = [f"{t.variant}: -t {table} -N {name}" for t in residue.traces for table, name in t.verdict.chains]
    return (*rules, *chains)


def _notes(residue: Residue) -> list[str]:
    notes = [
        f"{each.variant}: chain {name} of table {table} stays: rules of somebody else's are in it or lead to it"
        for each in residue.traces
        for table, name in each.verdict.kept
    ]
    if residue.certainty is Certainty.LIKELY:
        notes.append(residue.message)
    if residue.engine:
        notes.append(
            "the engine's own IPv6 rules are on: docker-ipv6nat emptied their chains when it started and wrote into "
            "them; restart the engine, which writes them anew (live-restore keeps containers running meanwhile)"
        )
    return notes
