"""``describe``: everything that is known of one resource, for a person at three in the morning."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dockerv6.api.kinds import NETWORK, POOL, KindInfo
from dockerv6.cli.printers.columns import NONE
from dockerv6.cli.printers.documents import document
from dockerv6.cli.printers.events import EventPrinter
from dockerv6.cli.printers.table import Table, plain
from dockerv6.cli.times import age
from dockerv6.ipam.ledger import Allocation
from dockerv6.lib.timeformat import parse_rfc3339, rfc3339
from dockerv6.store.model import Event, StoredObject

INDENT = "  "
LABEL = 14
"""Columns of a label and its colon."""

_ELSEWHERE = frozenset({"conditions", "endpoints", "observedGeneration"})
"""Fields of the status that have a section of their own."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a description is made of."""

    info: KindInfo
    stored: StoredObject
    allocations: Sequence[Allocation]  # all, of whomever
    events: Sequence[Event]  # of this resource, the one seen longest ago first
    now: float


def description(known: Known) -> list[str]:
    """The lines."""
    lines: list[str] = []
    for section in _SECTIONS:
        lines += section(known)
    return lines


def _head(known: Known) -> list[str]:
    stored = known.stored
    shown = document(stored)
    metadata = shown["metadata"]
    labels = metadata if isinstance(metadata, Mapping) else {}
    observed = stored.status.get("observedGeneration")
    seen = f"{stored.generation} (observed: {observed if observed is not None else NONE})"
    where = f"{stored.file}:{stored.line}" if stored.file else "made by dockerv6 itself"
    fields = [
        ("Name", stored.name),
        ("Kind", stored.kind),
        ("Labels", _pairs(labels.get("labels"))),
        ("Annotations", _pairs(labels.get("annotations"))),
        ("Source", where),
        ("Created", _moment(stored.created, known.now)),
        ("Generation", seen),
    ]
    if stored.missing_since is not None:
        fields.append(("Missing", f"from its source since {_moment(stored.missing_since, known.now)}"))
    if stored.deleting_since is not None:
        fields.append(("Deleting", f"since {_moment(stored.deleting_since, known.now)}"))
    return [_field(label, value) for label, value in fields]


def _problem(known: Known) -> list[str]:
    stored = known.stored
    if not stored.problem:
        return []
    kept = "the last accepted one stays in force" if stored.generation else "nothing has been applied"
    lines = [f"{INDENT}{plain(line)}" for line in stored.problem.splitlines()]
    return ["Problem:", f"{INDENT}The newest version in the source can't be accepted; {kept}.", *lines]


def _spec(known: Known) -> list[str]:
    spec = document(known.stored)["spec"]
    if not isinstance(spec, Mapping) or not spec:
        return [_field("Spec", "<empty: every field has its default>" if known.stored.generation else NONE)]
    return ["Spec:", *_tree(spec)]


def _status(known: Known) -> list[str]:
    fields = {key: value for key, value in known.stored.status.items() if key not in _ELSEWHERE}
    return ["Status:", *_tree(fields)] if fields else [_field("Status", NONE)]


def _conditions(known: Known) -> list[str]:
    conditions = known.stored.status.get("conditions")
    items = [c for c in conditions if isinstance(c, Mapping)] if isinstance(conditions, list) else []
    if not items:
        return [_field("Conditions", f"{NONE} (it has not been looked at yet)")]
    rows = [
        [
            str(item.get("type", NONE)),
            str(item.get("status", NONE)),
            _age_of(item.get("lastTransitionTime"), known.now),
            str(item.get("reason", NONE)),
            str(item.get("message", "")),
        ]
        for item in items
    ]
    table = Table(["Type", "Status", "Age", "Reason", "Message"], coloured=["STATUS"])
    return _section("Conditions", table.lines(rows))


def _subnets(known: Known) -> list[str]:
    """What a network holds, or what a pool has given out."""
    name = known.stored.name
    if known.info.kind == NETWORK:
        mine = [a for a in known.allocations if a.owner == name]
    elif known.info.kind == POOL:
        mine = [a for a in known.allocations if a.pool == name]
    else:
        return []
    if not mine:
        return [_field("Subnets", NONE)]
    rows = [[str(a.prefix), a.owner, a.pool or NONE, str(a.state), age(known.now - a.since)] for a in mine]
    return _section("Subnets", Table(["Prefix", "Owner", "Pool", "State", "Age"], coloured=[]).lines(rows))


def _endpoints(known: Known) -> list[str]:
    if known.info.kind != NETWORK:
        return []
    endpoints = known.stored.status.get("endpoints")
    items = [e for e in endpoints if isinstance(e, Mapping)] if isinstance(endpoints, list) else []
    if not items:
        return [_field("Endpoints", NONE)]
    rows = [[str(item.get("container") or NONE), str(item.get("ipv6") or NONE)] for item in items]
    return _section("Endpoints", Table(["Container", "IPv6"]).lines(rows))


def _events(known: Known) -> list[str]:
    if not known.events:
        return [_field("Events", NONE)]
    return _section("Events", EventPrinter("table", of_one=True).lines(known.events, known.now))


_SECTIONS: tuple[Callable[[Known], list[str]], ...] = (
    _head,
    _problem,
    _spec,
    _status,
    _conditions,
    _subnets,
    _endpoints,
    _events,
)


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [f"{title}:", *(INDENT + line for line in lines)]


def _field(label: str, value: str) -> str:
    return f"{label + ':':<{LABEL}}{plain(value)}"


def _pairs(value: object) -> str:
    pairs = [f"{key}={text}" for key, text in value.items()] if isinstance(value, Mapping) else []
    return ", ".join(pairs) or NONE


def _moment(seconds: float, now: float) -> str:
    return f"{rfc3339(seconds)} ({age(now - seconds)} ago)"


def _age_of(moment: object, now: float) -> str:
    try:
        return age(now - parse_rfc3339(moment)) if isinstance(moment, str) else NONE
    except ValueError:
        return NONE


def _tree(value: Mapping[str, object]) -> list[str]:
    """A mapping as a person reads it: YAML, indented."""
    from dockerv6.cli.printers.machine import text  # noqa: PLC0415 - brings in the YAML library

    return [INDENT + plain(line) for line in text(value, "yaml").splitlines()]
