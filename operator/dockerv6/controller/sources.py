"""Reads the sources, admits their resources to the inventory, and enqueues those that changed."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from dockerv6.api.conditions import Reason
from dockerv6.controller.context import Context
from dockerv6.controller.garbage import GARBAGE, HELD_RESOURCES, HELD_RETRY, prune_confirmed, record_held
from dockerv6.controller.prefixes import PREFIXES, track_prefixes
from dockerv6.lib.tasks import CancellationToken, to_cancellable_thread
from dockerv6.lib.text import escaped
from dockerv6.planning.addressing.occupied import few
from dockerv6.planning.admission import (
    Admission,
    Identities,
    PruneRules,
    admit_resources,
    commit_of,
    proves_absence,
)
from dockerv6.reconciler.handler import Key, TemporaryError
from dockerv6.source.model import Diagnostic, InvalidResource, Severity, Snapshot
from dockerv6.store.model import RUNNING, SOURCES, JsonObject, StoredObject

logger = logging.getLogger(__name__)

ROOTS = "source"
"""Store scope: the identities of each source root and its directories when they were last trusted."""

UNLISTED_RETRY = 2.0  # seconds until sources that could not be listed are read again, at the earliest
UNLISTED_PAUSE = 20.0  # times as long as the reading took, so that it uses a twentieth of one CPU at most

Read = Callable[[CancellationToken], Snapshot]
"""Reads every source, blocking; called on a thread. Cancelling the token ends it early."""


async def known_identities(context: Context) -> dict[str, dict[str, str]]:
    """The identities of each source root and of its directories when they were last trusted, by path."""
    return {root: _identities(root, record) for root, record in (await context.store.records(ROOTS)).items()}


def _identities(root: str, record: JsonObject) -> dict[str, str]:
    below = record.get("directories")
    directories = {path: str(identity) for path, identity in below.items()} if isinstance(below, dict) else {}
    return {root: str(record.get("identity", "")), **directories}


class SourceReconciler:
    """Keeps the inventory equal to the files, by the rules of `planning.admission`."""

    def __init__(self, read: Read, context: Context) -> None:
        self._read = read
        self._context = context
        self._reported: frozenset[Diagnostic] = frozenset()

    async def sync(self) -> float | None:
        """Read all sources and admit what is new.

        Returns the seconds until the sources are to be read again without a change; None: only after a change.

        Raises:
            StoreError: the resources could not be stored, and none was admitted; or what is recorded about the sources
                could not be stored.
        """
        context = self._context
        started = context.clock.monotonic()
        snapshot = await to_cancellable_thread(self._read)
        took = context.clock.monotonic() - started
        confirmed = bool(context.prune_held) and await prune_confirmed(HELD_RESOURCES, context)
        rules = PruneRules(context.settings.prune, context.settings.grace, confirmed)
        identities = await known_identities(context)
        now, before = context.inventory.now(), context.inventory.objects
        admission = admit_resources(snapshot, before, identities, now, rules)
        written = await context.inventory.write(admission.writes)
        try:
            if written:  # a process may have opened a port that is asked for now
                context.world.sockets.invalidate()
                await self._track_prefixes()
        finally:  # what was written is not found again
            for stored in written:
                context.enqueue(Key(stored.kind, stored.name), "its file changed")
            if written:  # such as NDP proxy entries that are no longer asked for
                context.enqueue(GARBAGE, "a file changed")
        context.inventory.deduplicate(sourced.resource for sourced in snapshot.resources)
        await self._report_commits(written, snapshot, {(each.kind, each.name): each for each in before})
        await self._remember(admission.identities, identities)
        await context.store.put_record(RUNNING, SOURCES, _running(snapshot, prune=context.settings.prune))
        await self._drop_unknown(snapshot, identities)
        await self._report(snapshot, {(each.kind, each.name): each for each in before})
        await self._record_held(admission)
        if admission.complete and not context.inventory.sources_listed:
            context.inventory.sources_listed = True
            context.enqueue(GARBAGE, "every source has been listed")
        waits = (
            admission.retry_after,
            snapshot.retry_after,
            HELD_RETRY if admission.prune_held else None,
            None if all(r.listed for r in snapshot.roots) else max(UNLISTED_RETRY, took * UNLISTED_PAUSE),
        )
        return min((w for w in waits if w is not None), default=None)

    async def _track_prefixes(self) -> None:
        """Track the prefixes that are followed now, before the resources that need them are reconciled."""
        try:
            await track_prefixes(self._context)
        except TemporaryError as error:
            logger.warning("prefixes: %s", error)
        self._context.enqueue(PREFIXES, "the resources that follow them changed")

    async def _remember(self, now: Identities, before: Identities) -> None:
        for root, identities in now.items():
            if before.get(root) != identities:
                directories = {path: identity for path, identity in identities.items() if path != root}
                record: dict[str, object] = {"identity": identities.get(root, "")}
                await self._context.store.put_record(
                    ROOTS, root, record | {"directories": directories} if directories else record
                )

    async def _drop_unknown(self, snapshot: Snapshot, identities: Identities) -> None:
        """Remove the stored objects that this version does not know, once their file is corrected or deleted."""
        for stored in self._context.inventory.unknown:
            if proves_absence(stored.file, snapshot, identities):
                await self._context.inventory.drop_unknown(stored)

    async def _report(self, snapshot: Snapshot, before: Mapping[tuple[str, str], StoredObject]) -> None:
        """Record an event for each problem once, and again when it comes back.

        An error of a file that no resource's status can report stays visible until it ends.
        """
        owners = {d: i for i in snapshot.invalid if i.kind and i.name for d in i.diagnostics}
        unowned = [escaped(f"{r.path}: {r.problem}") for r in snapshot.roots if r.problem]
        unowned += [str(d) for d in snapshot.diagnostics if d not in owners and d.severity is Severity.ERROR]
        unowned += await self._report_kept(unowned, before)
        await self._context.problems.report("files", Reason.SOURCE_UNAVAILABLE, unowned, kind="Source")
        reported = frozenset(unowned)
        for diagnostic in snapshot.diagnostics:
            if diagnostic not in self._reported and str(diagnostic) not in reported:
                await self._report_diagnostic(diagnostic, owners.get(diagnostic))
        self._reported = frozenset(snapshot.diagnostics)
        await self._context.problems.report("state", Reason.STATE_UNREADABLE, self._context.inventory.problems)

    async def _report_commits(
        self, written: Iterable[StoredObject], snapshot: Snapshot, before: Mapping[tuple[str, str], StoredObject]
    ) -> None:
        """Record which commit of a Git source changed a resource, or deleted it."""
        for stored in written if any(root.commit for root in snapshot.roots) else ():
            old = before.get((stored.kind, stored.name))
            if stored.deleting_since is not None and (old is None or old.deleting_since is None):
                commit = commit_of(stored.file, snapshot)
                message = f"the resource is no longer in commit {commit}, and is deleted"
            elif old is None or old.generation != stored.generation:
                commit = stored.source_commit
                message = f"generation {stored.generation} is from commit {commit}"
            else:
                continue
            if commit:
                await self._context.events.normal(stored.kind, stored.name, "SourceChanged", message)

    async def _report_kept(
        self, reported: Iterable[str], before: Mapping[tuple[str, str], StoredObject]
    ) -> tuple[str, ...]:
        """Record an event for each resource that is kept because its source is lost; return the other reports of that.

        A directory that can't be listed is reported anyway.
        """
        kept: dict[str, list[str]] = {}
        for stored in self._context.inventory.objects:
            if stored.problem_reason == Reason.SOURCE_UNAVAILABLE and stored.problem:
                kept.setdefault(stored.problem, []).append(f"{stored.kind}/{stored.name}")
                old = before.get((stored.kind, stored.name))
                if old is None or old.problem != stored.problem:
                    message = stored.problem_message
                    await self._context.events.warning(stored.kind, stored.name, stored.problem_reason, message)
        known = tuple(reported)
        return tuple(
            f"{doubt}; kept: {few(names)}" for doubt, names in kept.items() if not any(doubt in each for each in known)
        )

    async def _report_diagnostic(self, diagnostic: Diagnostic, owner: InvalidResource | None) -> None:
        kind, name = (owner.kind, owner.name) if owner is not None else ("Source", "files")
        reason = "InvalidSpec" if diagnostic.severity is Severity.ERROR else "SpecWarning"
        await self._context.events.warning(kind, name, reason, str(diagnostic))

    async def _record_held(self, admission: Admission) -> None:
        """Store what the prune guard holds, and reconcile the resources whose status changes by it."""
        held = frozenset(admission.prune_held)
        changed = held ^ self._context.prune_held
        await record_held(HELD_RESOURCES, held, self._context)
        if held - self._context.prune_held:
            message = (
                f"{len(held)} resources are gone from their sources: {', '.join(sorted(held))}; they are kept"
                " until you confirm with `dockerv6 prune --confirm`"
            )
            await self._context.events.warning("Source", "files", "PruneHeld", message)
        self._context.prune_held = held
        for item in changed:
            kind, _, name = item.partition("/")
            if self._context.inventory.get(kind, name) is not None:
                self._context.enqueue(Key(kind, name), "the prune guard changed")


def _running(snapshot: Snapshot, *, prune: bool) -> JsonObject:
    """What commands need to know of the sources, which may have other settings."""
    return {"roots": {str(Path(root.path).absolute()): root.identity for root in snapshot.roots}, "prune": prune}
