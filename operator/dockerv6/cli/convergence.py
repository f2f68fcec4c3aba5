"""How far a running daemon has come with what the files say: for ``apply`` beside a daemon."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dockerv6.api.scheme import digest
from dockerv6.source.model import Snapshot
from dockerv6.store.model import StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ApplyStatus:
    """How a resource is."""

    kind: str
    name: str
    ready: bool
    reason: str
    message: str
    final: bool  # nothing more happens without a change


def standings(snapshot: Snapshot, stored: "Iterable[StoredObject]") -> tuple[ApplyStatus, ...]:
    """How each resource of the files, and each that only the daemon still knows, is; ordered by kind and name."""
    known = {(each.kind, each.name): each for each in stored}
    wanted = {
        (str(sourced.resource.kind), sourced.resource.metadata.name): digest(sourced.resource)
        for sourced in snapshot.resources
    }
    invalid = {
        (each.kind, each.name): "; ".join(map(str, each.diagnostics))
        for each in snapshot.invalid
        if each.kind and each.name
    }
    found = []
    for key in sorted({*wanted, *invalid, *(key for key, each in known.items() if each.file)}):
        if key in invalid:
            found.append(ApplyStatus(*key, ready=False, reason="InvalidSpec", message=invalid[key], final=True))
        elif key in wanted:
            found.append(_wanted(key, wanted[key], known.get(key)))
        else:
            found.append(_leaving(known[key]))
    return tuple(found)


def _wanted(key: Key, asked: str, stored: StoredObject | None) -> ApplyStatus:
    if stored is None or stored.digest != asked or stored.problem or stored.deleting_since is not None:
        return _under_way(key, "the daemon has not taken its file in yet")
    if stored.status.get("observedGeneration") != stored.generation:
        return _under_way(key, "the daemon has not worked on its newest version yet")
    ready = _condition(stored, "Ready")
    good = ready.get("status") == "True"
    stalled = bool(_condition(stored, "Stalled"))
    reason, message = str(ready.get("reason", "Progressing")), str(ready.get("message", ""))
    return ApplyStatus(*key, ready=good, reason=reason, message=message, final=good or stalled)


def _leaving(stored: StoredObject) -> ApplyStatus:
    ready = _condition(stored, "Ready")
    held = _condition(stored, "PruneHeld")
    cause = held or (ready if stored.deleting_since is not None else {})
    message = str(cause.get("message") or "its file is gone, and so will it be in a moment")
    reason = str(cause.get("reason") or "Deleting")
    return ApplyStatus(stored.kind, stored.name, ready=False, reason=reason, message=message, final=bool(held))


def _under_way(key: Key, message: str) -> ApplyStatus:
    return ApplyStatus(*key, ready=False, reason="Progressing", message=message, final=False)


def _condition(stored: StoredObject, type_: str) -> Mapping[str, object]:
    conditions = stored.status.get("conditions")
    items = [c for c in conditions if isinstance(c, Mapping)] if isinstance(conditions, list) else []
    return next((c for c in items if c.get("type") == type_), {})
