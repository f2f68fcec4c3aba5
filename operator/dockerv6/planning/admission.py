"""Which resources of a snapshot are accepted, rejected, or deleted because their file is gone.

A version that can't be accepted changes nothing that is applied. Only a source that was read completely can delete a
resource. A deletion must last for a grace period, and a prune of too many resources must be confirmed.

A resource is deleted when its file, or a directory above it, was removed from a directory that is in place. In place
is a directory that is the same one as before (device and inode), or that was replaced by one with resource files, such
as the next checkout of a repository. An empty directory in its place is an unmounted volume or a failed
synchronization, and a link that leads nowhere is either. The rule is the same for a root and for every directory below.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import PurePath

from dockerv6.api.addressing import DEFAULT_POOL
from dockerv6.api.conditions import Reason
from dockerv6.api.kinds import NETWORK, POOL
from dockerv6.api.pool import IPv6Pool
from dockerv6.api.scheme import Resource, digest, to_document
from dockerv6.source.model import (
    Diagnostic,
    DirectoryState,
    InvalidResource,
    Severity,
    Snapshot,
    SourcedResource,
    SourceRoot,
    parents,
)
from dockerv6.store.model import StoredObject

PRUNE_LIMIT = 3
"""A prune of more resources than this, and of more than half, must be confirmed."""

Identities = Mapping[str, Mapping[str, str]]
"""For each root: the identity of the root and of each directory below it with resources, by path, when last trusted."""


@dataclass(frozen=True, slots=True)
class PruneRules:
    """When the absence of a resource is a deletion."""

    enabled: bool = True
    grace: float = 5.0  # seconds that an absence must last
    confirmed: bool = False  # `dockerv6 prune --confirm` was run


@dataclass(frozen=True, slots=True)
class Admission:
    """What to write to the store."""

    writes: tuple[StoredObject, ...] = ()
    prune_held: tuple[str, ...] = ()  # "Kind/name" of resources whose prune must be confirmed
    identities: Identities = field(default_factory=dict)  # to record
    retry_after: float | None = None  # seconds until a grace period ends; None: there is none
    complete: bool = True  # every source was read completely


def admit_resources(
    snapshot: Snapshot,
    stored: tuple[StoredObject, ...],
    identities: Identities,
    now: float,
    rules: PruneRules,
) -> Admission:
    """Compare a snapshot of the sources with the store.

    Args:
        snapshot: the resources in the sources.
        stored: the resources in the store.
        identities: as last recorded.
        now: Unix seconds.
        rules: when an absence is a deletion.
    """
    old = {(o.kind, o.name): o for o in stored}
    writes: dict[tuple[str, str], StoredObject] = {}
    invalid = {(i.kind, i.name): i for i in reversed(snapshot.invalid) if i.kind and i.name}
    seen = set(invalid)
    for sourced in snapshot.resources:
        key = (str(sourced.resource.kind), sourced.resource.metadata.name)
        seen.add(key)
        if key not in invalid:
            try:
                writes[key] = _accepted(sourced, old.get(key), now, commit_of(sourced.position.file, snapshot))
            except Exception as error:  # noqa: BLE001 - an error in dockerv6 concerns this resource only
                invalid[key] = _not_storable(sourced, error)
    for key, item in invalid.items():
        writes[key] = _rejected(item, old.get(key), now)
    implied = old.get((POOL, DEFAULT_POOL))
    if implied is not None and implied.unreadable and _is_absent(implied, seen, snapshot, identities):
        seen.add((POOL, DEFAULT_POOL))  # nothing declares it, so it is what it is without a declaration
        writes[POOL, DEFAULT_POOL] = replace(implied_pool_object(implied.created), revision=implied.revision)
    missing = [o for k, o in old.items() if k not in seen and (o.file or o.unreadable)]
    lasting, waiting = _classify_absent(missing, snapshot, identities, now, rules)
    for absent in (*lasting, *waiting):
        writes[(absent.kind, absent.name)] = absent
    held: tuple[str, ...] = ()
    deletions = [o for o in lasting if o.deleting_since is None]
    live = [o for o in stored if o.deleting_since is None and (o.file or o.unreadable)]
    if not rules.confirmed:
        all_held = exceeds_prune_limit(len(deletions), len(live))
        held = tuple(f"{o.kind}/{o.name}" for o in deletions if rules.enabled and (all_held or _keeps_unknown(o)))
    for o in deletions if rules.enabled else ():
        if f"{o.kind}/{o.name}" not in held:
            writes[(o.kind, o.name)] = replace(o, deleting_since=now)
    graces = [rules.grace - (now - o.missing_since) for o in waiting if o.missing_since is not None]
    return Admission(
        writes=tuple(w for k, w in sorted(writes.items()) if w != old.get(k)),
        prune_held=held,
        identities=_identities(snapshot, identities, [o.file for o in (*stored, *writes.values()) if o.file]),
        retry_after=max(0.0, min(graces)) if graces and rules.enabled else None,
        complete=snapshot.complete and not snapshot.changing_files,
    )


def _is_absent(
    stored: StoredObject, seen: Container[tuple[str, str]], snapshot: Snapshot, identities: Identities
) -> bool:
    """Whether every source was read, and none has the resource."""
    return (stored.kind, stored.name) not in seen and proves_absence(stored.file, snapshot, identities)


def _keeps_unknown(stored: StoredObject) -> bool:
    """Whether it is not known if the resource keeps its Docker network (``deletionPolicy``)."""
    return stored.unreadable and stored.kind == NETWORK


@cache
def implied_default_pool() -> IPv6Pool:
    """The pool that exists without being declared: a generated RFC 4193 /48."""
    return IPv6Pool.model_validate({"metadata": {"name": DEFAULT_POOL}, "spec": {"generate": "ULA"}})


def implied_pool_object(now: float) -> StoredObject:
    """The default pool as an object, so that the CLI shows it; ``file`` is empty."""
    pool = implied_default_pool()
    return StoredObject(
        kind=POOL,
        name=DEFAULT_POOL,
        document=to_document(pool),
        digest=digest(pool),
        generation=1,
        file="",
        line=0,
        created=now,
    )


def exceeds_prune_limit(deletions: int, live: int) -> bool:
    """Whether a prune must be confirmed, because it may be a mistake. See `PRUNE_LIMIT`."""
    return deletions > PRUNE_LIMIT and 2 * deletions > live


def commit_of(file: str, snapshot: Snapshot) -> str:
    """The commit that a file was read from; "": it is not of a Git source."""
    if not any(root.commit for root in snapshot.roots):
        return ""
    root = _root_of(file, snapshot.roots)
    return root.commit if root is not None else ""


def _accepted(sourced: SourcedResource, old: StoredObject | None, now: float, commit: str) -> StoredObject:
    """The stored form of an accepted resource. If it is in its source again, its deletion is cancelled."""
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
            source_commit=commit,
        )
    back = replace(_without_problem(old), file=where.file, line=where.line, missing_since=None, deleting_since=None)
    back = replace(back, document=to_document(resource), source_commit=commit)
    if old.digest == new_digest:
        return back
    return replace(back, digest=new_digest, generation=old.generation + 1)


def _not_storable(sourced: SourcedResource, error: Exception) -> InvalidResource:
    """A valid resource that nobody foresaw can't be stored."""
    message = f"the resource can't be stored: {type(error).__name__}: {error}"
    remedy = "this is an error in dockerv6, please report it; changing the resource may avoid it"
    diagnostic = Diagnostic(sourced.position, Severity.ERROR, (), message, remedy)
    resource = sourced.resource
    return InvalidResource(str(resource.kind), resource.metadata.name, sourced.position, (diagnostic,))


def _rejected(item: InvalidResource, old: StoredObject | None, now: float) -> StoredObject:
    """The last accepted version stays, also if it was being deleted: its file is back.

    A resource that was never accepted is stored only to be listed.
    """
    problem = "\n".join(str(d) for d in item.diagnostics)
    if old is not None:
        marked = replace(old, problem=problem, problem_reason=Reason.INVALID_SPEC)
        return replace(marked, missing_since=None, deleting_since=None)
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


def _classify_absent(
    missing: list[StoredObject],
    snapshot: Snapshot,
    identities: Identities,
    now: float,
    rules: PruneRules,
) -> tuple[list[StoredObject], list[StoredObject]]:
    """Split absent resources into those that have been absent for the grace period, and the others."""
    lasting: list[StoredObject] = []
    waiting: list[StoredObject] = []
    for absent in missing:
        if absent.deleting_since is not None:
            continue
        listed = _is_listed(absent.file, snapshot)
        doubt = _doubt(absent.file, snapshot, identities) if listed else _lost(absent, snapshot)
        if doubt or not listed:
            waiting.append(_kept(absent, doubt) if doubt else replace(absent, missing_since=None))
            continue
        since = absent.missing_since if absent.missing_since is not None else now
        accepted = bool(absent.digest) and not absent.unreadable
        marked = replace(_without_problem(absent) if accepted else absent, missing_since=since)
        (lasting if now - since >= rules.grace else waiting).append(marked)
    return lasting, waiting


def _without_problem(stored: StoredObject) -> StoredObject:
    return replace(stored, problem="", problem_reason=Reason.INVALID_SPEC)


def _kept(stored: StoredObject, doubt: str) -> StoredObject:
    return replace(stored, missing_since=None, problem=doubt, problem_reason=Reason.SOURCE_UNAVAILABLE)


def _lost(stored: StoredObject, snapshot: Snapshot) -> str:
    """Why the root of a resource's file can't be read; "": it can, or that may be over in a moment."""
    root = _root_of(stored.file, snapshot.roots)
    passing = snapshot.retry_after is not None or stored.file in snapshot.broken_files
    return "" if root is None or passing or stored.unreadable else root.problem


def proves_absence(file: str, snapshot: Snapshot, identities: Identities) -> bool:
    """Whether the snapshot proves that a resource is no longer in this file."""
    return _is_listed(file, snapshot) and not _doubt(file, snapshot, identities)


def _is_listed(file: str, snapshot: Snapshot) -> bool:
    """Whether everything was read that the resource can be in."""
    if file in snapshot.broken_files or file in snapshot.changing_files:
        return False
    root = _root_of(file, snapshot.roots)
    return root.listed if root is not None else all(r.listed for r in snapshot.roots)  # else: no longer configured


def _doubt(file: str, snapshot: Snapshot, identities: Identities) -> str:
    """Why it is not certain that the absence of a resource from a file is meant, and the remedy; "" when it is."""
    if file in snapshot.files_without_resources:
        return f"{file} has no resource any more, which may be an accident: delete the file if it is not"
    root = _root_of(file, snapshot.roots)
    if root is None:  # removed from the configuration on purpose
        return ""
    known = identities.get(root.path, {})
    for directory, state in _directories_above(file, root):
        if not state.identity:
            return f"{directory} is a link that leads to no directory: correct the link, or remove it"
        if not state.files and known.get(directory, state.identity) != state.identity:
            return (
                f"{directory} was replaced by an empty directory, which may be a volume that is not mounted: mount it,"
                " or add a resource file to the directory" + (", or remove it" if directory != root.path else "")
            )
    return ""


def _directories_above(file: str, root: SourceRoot) -> Iterable[tuple[str, DirectoryState]]:
    """The root and the directories above a file that exist, the outermost first."""
    yield root.path, DirectoryState(root.identity, root.files)
    for directory in reversed(tuple(parents(file, root.path))):
        if directory not in root.subdirectories:
            return
        yield directory, root.subdirectories[directory]


def _root_of(file: str, roots: tuple[SourceRoot, ...]) -> SourceRoot | None:
    path = PurePath(file)
    return next((r for r in roots if path == PurePath(r.path) or PurePath(r.path) in path.parents), None)


def _identities(snapshot: Snapshot, identities: Identities, files: Iterable[str]) -> Identities:
    """The identity of each root, and of each directory above one of the files, when it was last trusted."""
    result: dict[str, Mapping[str, str]] = dict(identities)
    needed: dict[str, set[str]] = {root.path: set() for root in snapshot.roots}
    for file in set(files):
        root = _root_of(file, snapshot.roots)
        if root is not None:
            needed[root.path].update(parents(file, root.path))
    for root in snapshot.roots:
        if not root.listed:
            continue
        known = identities.get(root.path, {})
        states = {root.path: DirectoryState(root.identity, root.files)}
        states |= {path: root.subdirectories[path] for path in needed[root.path] if path in root.subdirectories}
        recorded = {path: identity for path, identity in known.items() if path in needed[root.path] | {root.path}}
        for path, state in states.items():
            if state.identity and (state.files or path not in known):
                recorded[path] = state.identity
        result[root.path] = recorded
    return result
