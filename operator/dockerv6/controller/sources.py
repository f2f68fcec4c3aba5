"""From files to accepted resources: reads the sources, takes them in, and enqueues what changed."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from dockerv6.controller.context import Context
from dockerv6.controller.garbage import GARBAGE, HELD_RETRY, SOURCES, hold, prune_confirmed
from dockerv6.controller.prefixes import PREFIXES, track_prefixes
from dockerv6.planning.admission import Admission, PruneRules, admit_resources
from dockerv6.reconciler.handler import Key, TemporaryError
from dockerv6.source.model import Diagnostic, Severity, Snapshot

logger = logging.getLogger(__name__)

ROOTS = "source"
"""The store's scope for what each root was when it last could be trusted."""

UNLISTED_RETRY = 2.0  # seconds until sources that could not be listed are read again

Read = Callable[[], Snapshot]
"""Reads every source, blocking; called on a thread."""


async def known_identities(context: Context) -> dict[str, str]:
    """What each root was when it last could be trusted, by its path."""
    return {p: str(r.get("identity", "")) for p, r in (await context.store.records(ROOTS)).items()}


class SourceKeeper:
    """Keeps the inventory equal to the files, by the rules of `planning.admission`."""

    def __init__(self, read: Read, context: Context) -> None:
        self._read = read
        self._context = context
        self._told: frozenset[str] = frozenset()

    async def sync(self) -> float | None:
        """Read everything, accept what is new. Gives the seconds until the next look, if one is due without a change.

        Raises:
            StoreError: what was accepted could not be kept; nothing was accepted then.
        """
        context = self._context
        snapshot = await asyncio.to_thread(self._read)
        confirmed = bool(context.prune_held) and await prune_confirmed(SOURCES, context)
        rules = PruneRules(context.settings.prune, context.settings.grace, confirmed)
        identities = await known_identities(context)
        before = context.inventory.objects
        intake = admit_resources(snapshot, before, identities, context.clock.now(), rules)
        written = await context.inventory.write(intake.writes)
        if written:  # a port that is asked for now may be a process' that came since the sockets were read
            context.world.listeners.invalidate()
            await self._follow()
        context.inventory.deduplicate(sourced.resource for sourced in snapshot.resources)
        await self._remember(intake.identities, identities)
        await self._tell(snapshot)
        await self._hold(intake)
        if written:  # what is no longer asked for, such as neighbours to answer for
            context.enqueue(GARBAGE, "a file changed")
        for stored in written:
            context.enqueue(Key(stored.kind, stored.name), "its file changed")
        if intake.complete and not context.sources_listed:
            context.sources_listed = context.firewall.may_sweep = True
            context.enqueue(GARBAGE, "every source has been listed")
        waits = (
            intake.retry_after,
            snapshot.retry_after,
            HELD_RETRY if intake.held else None,
            None if all(r.listed for r in snapshot.roots) else UNLISTED_RETRY,
        )
        return min((w for w in waits if w is not None), default=None)

    async def _follow(self) -> None:
        """Look at the prefixes that are followed now, before anybody is looked at who needs them."""
        try:
            await track_prefixes(self._context)
        except TemporaryError as error:
            logger.warning("prefixes: %s", error)
        self._context.enqueue(PREFIXES, "who follows them changed")

    async def _remember(self, now: Mapping[str, str], before: Mapping[str, str]) -> None:
        for path, identity in now.items():
            if before.get(path) != identity:
                await self._context.store.put_record(ROOTS, path, {"identity": identity})

    async def _tell(self, snapshot: Snapshot) -> None:
        """Say each finding once, and again when it comes back."""
        problems = [f"{r.path}: {r.problem}" for r in snapshot.roots if r.problem]
        now = frozenset([*problems, *map(str, snapshot.diagnostics)])
        owners = {d: i for i in snapshot.invalid for d in i.diagnostics}
        for problem in problems:
            if problem not in self._told:
                await self._context.events.warning("Source", "files", "SourceUnavailable", problem)
        for diagnostic in snapshot.diagnostics:
            if str(diagnostic) not in self._told:
                owner = owners.get(diagnostic)
                await self._say(diagnostic, (owner.kind, owner.name) if owner is not None else None)
        self._told = now

    async def _say(self, diagnostic: Diagnostic, owner: tuple[str, str] | None) -> None:
        kind, name = owner if owner is not None and all(owner) else ("Source", "files")
        reason = "InvalidSpec" if diagnostic.severity is Severity.ERROR else "SpecWarning"
        await self._context.events.warning(kind, name, reason, str(diagnostic))

    async def _hold(self, intake: Admission) -> None:
        """Have the statuses say what is held, and no longer what is not."""
        held = frozenset(intake.held)
        changed = held ^ self._context.prune_held
        await hold(SOURCES, held, self._context)
        if held - self._context.prune_held:
            message = (
                f"{len(held)} resources are gone from their sources at once: {', '.join(sorted(held))}; they are kept"
                " until you confirm with `dockerv6 prune --confirm`"
            )
            await self._context.events.warning("Source", "files", "PruneHeld", message)
        self._context.prune_held = held
        for item in changed:
            kind, _, name = item.partition("/")
            if self._context.inventory.get(kind, name) is not None:
                self._context.enqueue(Key(kind, name), "its deletion is held, or no longer")
