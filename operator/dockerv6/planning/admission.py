"""From a reading of the sources to what is accepted, kept, or on its way out.

Fail closed, fail last-good: a version that can't be accepted changes nothing that is applied, and only a source that
was surely read whole can say that a resource is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from dockerv6.api.scheme import Resource, digest, to_document
from dockerv6.source.model import InvalidResource, Snapshot, SourcedResource, SourceRoot
from dockerv6.store.model import StoredObject

GUARD_ABOVE = 3


@dataclass(frozen=True, slots=True)
class PruneRules:
    """When an absence counts as a deletion."""

    enabled: bool = True
    grace: float = 5.0  # seconds that an absence must last
    confirmed: bool = False  # a person said that the held prune is meant


@dataclass(frozen=True, slots=True)
class Admission:
    """What to write to the store, and when to look again."""

    writes: tuple[StoredObject, ...] = ()
    held: tuple[str, ...] = ()  # "Kind/name" of what would be pruned but is held
    identities: Mapping[str, str] = field(default_factory=dict)  # root -> identity to remember
    retry_after: float | None = None  # seconds until a grace period ends; None: nothing is waiting
    complete: bool = True  # every source could be listed


def admit_resources(
    snapshot: Snapshot,
    stored: tuple[StoredObject, ...],
    identities: Mapping[str, str],
    now: float,
    rules: PruneRules,
) -> Admission:
    """Decide what the reading means. Pure: ``now`` is Unix seconds, ``identities`` the roots as last trusted."""
    old = {(o.kind, o.name): o for o in stored}
    writes: dict[tuple[str, str], StoredObject] = {}
    invalid = {(i.kind, i.name): i for i in reversed(snapshot.invalid) if i.kind and i.name}
    seen = set(invalid)
    for sourced in snapshot.resources:
        key = (str(sourced.resource.kind), sourced.resource.metadata.name)
        seen.add(key)
        if key not in invalid:
            writes[key] = _accepted(sourced, old.get(key), now)
    for key, item in invalid.items():
        writes[key] = _rejected(item, old.get(key), now)
    missing = [o for k, o in old.items() if k not in seen and o.file]
    gone, waiting = _absent(missing, snapshot, identities, now, rules)
    for absent in (*gone, *waiting):
        writes[(absent.kind, absent.name)] = absent
    held: tuple[str, ...] = ()
    doomed = [o for o in gone if o.deleting_since is None]
    alive = [o for o in stored if o.deleting_since is None and o.file]
    if rules.enabled and exceeds_prune_limit(len(doomed), len(alive)) and not rules.confirmed:
        held = tuple(f"{o.kind}/{o.name}" for o in doomed)
    elif rules.enabled:
        for o in doomed:
            writes[(o.kind, o.name)] = replace(o, deleting_since=now)
    graces = [rules.grace - (now - o.missing_since) for o in waiting if o.missing_since is not None]
    return Admission(
        writes=tuple(w for k, w in sorted(writes.items()) if w != old.get(k)),
        held=held,
        identities=_identities(snapshot, identities),
        retry_after=max(0.0, min(graces)) if graces and rules.enabled else None,
        complete=snapshot.complete and not snapshot.changing_files,
    )


def exceeds_prune_limit(doomed: int, alive: int) -> bool:
    """Whether a prune takes so much that it may well be a mistake: more than three, and more than half."""
    return doomed > GUARD_ABOVE and 2 * doomed > alive


def _accepted(sourced: SourcedResource, old: StoredObject | None, now: float) -> StoredObject:
    """The resource as the store has it from now on; back in its source, it is no longer being deleted."""
    resource: Resource = sourced.resource
    new_digest = digest(resource)
    where = sourced.position
    if old is None:
        return StoredObject(
            kind=str(resource.kind),
            name=resource.metadata.name,
            document=to_document(resource),
            digest=new_digest,
            generation=1,
            file=where.file,
            line=where.line,
            created=now,
        )
    back = replace(old, file=where.file, line=where.line, missing_since=None, deleting_since=None, problem="")
    back = replace(back, document=to_document(resource))
    if old.digest == new_digest:
        return back
    return replace(back, digest=new_digest, generation=old.generation + 1)


def _rejected(item: InvalidResource, old: StoredObject | None, now: float) -> StoredObject:
    """Last-good stays; a resource that never was accepted is stored only to be shown."""
    problem = "\n".join(str(d) for d in item.diagnostics)
    if old is not None:
        return replace(old, problem=problem, missing_since=None)
    return StoredObject(
        kind=item.kind,
        name=item.name,
        document={"kind": item.kind, "metadata": {"name": item.name}},
        digest="",
        generation=0,
        file=item.position.file,
        line=item.position.line,
        created=now,
        problem=problem,
    )


def _absent(
    missing: list[StoredObject],
    snapshot: Snapshot,
    identities: Mapping[str, str],
    now: float,
    rules: PruneRules,
) -> tuple[list[StoredObject], list[StoredObject]]:
    """Of the absent ones: those whose absence counts, and those for which it does not (yet)."""
    gone: list[StoredObject] = []
    waiting: list[StoredObject] = []
    for absent in missing:
        if absent.deleting_since is not None:
            continue
        if not _trusted(absent.file, snapshot, identities):
            waiting.append(replace(absent, missing_since=None))
            continue
        since = absent.missing_since if absent.missing_since is not None else now
        marked = replace(absent, missing_since=since)
        (gone if now - since >= rules.grace else waiting).append(marked)
    return gone, waiting


def _trusted(file: str, snapshot: Snapshot, identities: Mapping[str, str]) -> bool:
    """Whether the reading can say that something is no longer in this file."""
    if file in snapshot.broken_files or file in snapshot.changing_files:
        return False
    root = _root_of(file, snapshot.roots)
    if root is None:  # its directory is no longer configured: the person who did that meant it
        return all(r.listed for r in snapshot.roots)
    if not root.listed:
        return False
    replaced = root.path in identities and identities[root.path] != root.identity
    return not (replaced and root.files == 0)  # an empty directory in its place: unmounted, or a failed sync


def _root_of(file: str, roots: tuple[SourceRoot, ...]) -> SourceRoot | None:
    path = PurePath(file)
    return next((r for r in roots if path == PurePath(r.path) or PurePath(r.path) in path.parents), None)


def _identities(snapshot: Snapshot, identities: Mapping[str, str]) -> dict[str, str]:
    """A root is known by what it was when it last could be trusted."""
    known = dict(identities)
    for root in snapshot.roots:
        if root.listed and (root.files or root.path not in known):
            known[root.path] = root.identity
    return known
