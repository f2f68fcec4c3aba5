"""``dockerv6 describe``: all known facts about a resource."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from dockerv6.api.kinds import NETWORK, POOL, KindInfo
from dockerv6.cli.options import ExampleCommand, clock_of, setting_option
from dockerv6.cli.printers.objects import NONE, EventPrinter, document
from dockerv6.cli.printers.outputs import encode
from dockerv6.cli.printers.table import TextTable, age, plain
from dockerv6.cli.selection import ResourceRef, complete, not_found, parse_references
from dockerv6.cli.state import StateDirectory, conditions_of, problem_summary, warn_if_stale
from dockerv6.ipam.ledger import Allocation
from dockerv6.lib.timeformat import parse_rfc3339, rfc3339
from dockerv6.store.model import Event, StoredObject

_INDENT = "  "
_LABEL_WIDTH = 14
"""Columns of a label with its colon."""

_OWN_SECTION = frozenset({"conditions", "endpoints", "observedGeneration"})
"""Fields of the status that have a section of their own."""


@click.command(
    "describe",
    cls=ExampleCommand,
    short_help="Show details of a resource.",
    examples=(
        "dockerv6 describe v6net blog",
        "dockerv6 describe v6pool",
    ),
)
@click.argument("wanted", metavar="KIND [NAME]...", nargs=-1, required=True, shell_complete=complete)
@setting_option("state_dir")
@click.pass_context
def command(ctx: click.Context, *, wanted: tuple[str, ...], state_dir: str) -> None:
    """Show details of a resource: its file, spec, status, conditions, subnets and events.

    Without NAME, all resources of the kind are shown. KIND/NAME is accepted as well.
    """
    references = parse_references(wanted)
    state = StateDirectory(Path(state_dir))
    clock = clock_of(ctx)
    now = clock.now()
    found = [(ref, stored) for ref in references for stored in _objects(state, ref)]
    if not found:
        click.echo("No resources found", err=True)
        return
    warn_if_stale(state, clock)
    allocations = state.allocations()
    for index, (ref, stored) in enumerate(found):
        if index:
            click.echo("\n")
        events = state.events(stored.kind, stored.name)
        for line in description(DescribedObject(ref.info, stored, allocations, events, now)):
            click.echo(line)


def _objects(state: StateDirectory, ref: ResourceRef) -> tuple[StoredObject, ...]:
    stored = state.objects(ref.info.kind, ref.name)
    if not stored and ref.name is not None:
        raise not_found(ref.info, ref.name)
    return stored


@dataclass(frozen=True, slots=True)
class DescribedObject:
    """A resource and what is known about it."""

    info: KindInfo
    stored: StoredObject
    allocations: Sequence[Allocation]  # of all resources
    events: Sequence[Event]  # of this resource, the one that was last seen longest ago first
    now: float


def description(subject: DescribedObject) -> list[str]:
    """The lines of all sections."""
    return [line for section in _SECTIONS for line in section(subject)]


def _head(subject: DescribedObject) -> list[str]:
    stored = subject.stored
    content = document(stored)["metadata"]
    metadata = content if isinstance(content, Mapping) else {}
    observed = stored.status.get("observedGeneration")
    generation = f"{stored.generation} (observed: {observed if observed is not None else NONE})"
    source = f"{stored.file}:{stored.line}" if stored.file else "created by dockerv6"
    fields = [
        ("Name", stored.name),
        ("Kind", stored.kind),
        ("Labels", _pairs(metadata.get("labels"))),
        ("Annotations", _pairs(metadata.get("annotations"))),
        ("Source", source),
        ("Created", _time(stored.created, subject.now)),
        ("Generation", generation),
    ]
    if stored.missing_since is not None:
        fields.append(("Missing", f"from its source since {_time(stored.missing_since, subject.now)}"))
    if stored.deleting_since is not None:
        fields.append(("Deleting", f"since {_time(stored.deleting_since, subject.now)}"))
    return [_field(label, value) for label, value in fields]


def _problem(subject: DescribedObject) -> list[str]:
    stored = subject.stored
    if not stored.problem:
        return []
    effect = "the last valid version stays applied" if stored.generation else "nothing was applied"
    lines = [f"{_INDENT}{plain(line)}" for line in stored.problem_message.splitlines()]
    return ["Problem:", f"{_INDENT}{problem_summary(stored).capitalize()}; {effect}.", *lines]


def _spec(subject: DescribedObject) -> list[str]:
    spec = document(subject.stored)["spec"]
    if not isinstance(spec, Mapping) or not spec:
        return [_field("Spec", "<empty: every field has its default>" if subject.stored.generation else NONE)]
    return ["Spec:", *_yaml(spec)]


def _status(subject: DescribedObject) -> list[str]:
    fields = {key: value for key, value in subject.stored.status.items() if key not in _OWN_SECTION}
    return ["Status:", *_yaml(fields)] if fields else [_field("Status", NONE)]


def _conditions(subject: DescribedObject) -> list[str]:
    conditions = conditions_of(subject.stored)
    if not conditions:
        return [_field("Conditions", f"{NONE} (not reconciled yet)")]
    rows = [
        [
            str(condition.get("type", NONE)),
            str(condition.get("status", NONE)),
            _age_of(condition.get("lastTransitionTime"), subject.now),
            str(condition.get("reason", NONE)),
            str(condition.get("message", "")).partition("\n")[0],
        ]
        for condition in conditions
    ]
    heading, *lines = TextTable(["Type", "Status", "Age", "Reason", "Message"], coloured=["STATUS"]).lines(rows)
    shown = [heading]
    for line, condition in zip(lines, conditions, strict=True):
        more = str(condition.get("message", "")).splitlines()[1:]  # such as commands, to be pasted as they are
        shown += [line, *(_INDENT + plain(each) for each in more)]
    return _section("Conditions", shown)


def _subnets(subject: DescribedObject) -> list[str]:
    """The subnets of a network, or those allocated from a pool."""
    name = subject.stored.name
    if subject.info.kind == NETWORK:
        allocations = [a for a in subject.allocations if a.owner == name]
    elif subject.info.kind == POOL:
        allocations = [a for a in subject.allocations if a.pool == name]
    else:
        return []
    if not allocations:
        return [_field("Subnets", NONE)]
    rows = [[str(a.prefix), a.owner, a.pool or NONE, str(a.state), age(subject.now - a.since)] for a in allocations]
    return _section("Subnets", TextTable(["Prefix", "Owner", "Pool", "State", "Age"], coloured=[]).lines(rows))


def _endpoints(subject: DescribedObject) -> list[str]:
    if subject.info.kind != NETWORK:
        return []
    endpoints = subject.stored.status.get("endpoints")
    items = [e for e in endpoints if isinstance(e, Mapping)] if isinstance(endpoints, list) else []
    if not items:
        return [_field("Endpoints", NONE)]
    rows = [[str(item.get("container") or NONE), str(item.get("ipv6") or NONE)] for item in items]
    return _section("Endpoints", TextTable(["Container", "IPv6"]).lines(rows))


def _events(subject: DescribedObject) -> list[str]:
    if not subject.events:
        return [_field("Events", NONE)]
    return _section("Events", EventPrinter(one_object=True).lines(subject.events, subject.now))


_SECTIONS: tuple[Callable[[DescribedObject], list[str]], ...] = (
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
    return [f"{title}:", *(_INDENT + line for line in lines)]


def _field(label: str, value: str) -> str:
    return f"{label + ':':<{_LABEL_WIDTH}}{plain(value)}"


def _pairs(value: object) -> str:
    pairs = [f"{key}={text}" for key, text in value.items()] if isinstance(value, Mapping) else []
    return ", ".join(pairs) or NONE


def _time(seconds: float, now: float) -> str:
    return f"{rfc3339(seconds)} ({age(now - seconds)} ago)"


def _age_of(time: object, now: float) -> str:
    try:
        return age(now - parse_rfc3339(time)) if isinstance(time, str) else NONE
    except ValueError:
        return NONE


def _yaml(value: Mapping[str, object]) -> list[str]:
    return [_INDENT + plain(line) for line in encode(value, "yaml").splitlines()]
