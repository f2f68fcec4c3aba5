"""``dockerv6 events``: the recorded events."""

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from dockerv6.api.kinds import UnknownKind, resolve_kind
from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import DURATION, ExampleCommand, clock_of, setting_option
from dockerv6.cli.printers.objects import EVENT_FORMATS, EventPrinter, event_document
from dockerv6.cli.printers.outputs import Output, OutputType, rendered, sorted_by
from dockerv6.cli.selection import complete
from dockerv6.cli.state import BlockingClock, StateDirectory, warn_if_stale
from dockerv6.store.model import Event, EventType

OTHER_OBJECTS = {"host": "Host", "source": "Source"}
"""Objects of events that are not resources: the host, and the resource files."""


@click.command(
    "events",
    cls=ExampleCommand,
    short_help="Show events, newest last.",
    examples=(
        "dockerv6 events",
        "dockerv6 events v6net blog --since 1h",
        "dockerv6 events --types Warning -w",
        "dockerv6 events --sort-by=.count -o jsonpath='{.items[*].message}'",
    ),
)
@click.argument("wanted", metavar="[KIND [NAME]]", nargs=-1, shell_complete=complete)
@click.option("-w", "--watch", is_flag=True, help="After the existing events, print new ones until Ctrl-C.")
@click.option(
    "-o", "--output", type=OutputType(*EVENT_FORMATS), default="table", show_default=True, help="Output format."
)
@click.option("--since", type=DURATION, metavar="DURATION", help="Only events seen within this time, such as 1h.")
@click.option(
    "--types",
    type=click.Choice([*EventType], case_sensitive=False),
    multiple=True,
    help="Only events of this type. Repeatable.",
)
@click.option("--for", "about", metavar="KIND/NAME", help="Only events of this resource; the same as the argument.")
@click.option("--sort-by", metavar="PATH", help="Sort by the value at a JSONPath, such as .count.")
@click.option("--no-headers", is_flag=True, help="Print the table without headings.")
@setting_option("state_dir")
@without_namespaces
@click.pass_context
def command(
    ctx: click.Context,
    *,
    wanted: tuple[str, ...],
    watch: bool,
    output: Output,
    since: float | None,
    types: tuple[str, ...],
    about: str | None,
    sort_by: str | None,
    no_headers: bool,
    state_dir: str,
) -> None:
    """Show events, newest last. Events are kept for 7 days, at most 50 of a resource. No daemon is needed.

    Besides the resource kinds, KIND can be "host" (the whole host) or "source" (resource files).
    """
    kind, name = _kind_and_name(wanted if about is None else (*wanted, about))
    state = StateDirectory(Path(state_dir))
    clock = clock_of(ctx)
    oldest = None if since is None else clock.now() - since

    def read() -> tuple[Event, ...]:
        return tuple(
            event
            for event in state.events(kind, name)
            if (oldest is None or event.last_seen >= oldest) and (not types or event.type in types)
        )

    warn_if_stale(state, clock)
    printer = EventPrinter(output, headings=not no_headers)
    if watch:
        if sort_by is not None:
            raise click.UsageError("--sort-by can't be used with --watch: events are printed in their own order")
        _follow(state, read, printer, clock)
        return
    found = read()
    if sort_by is not None:
        found = tuple(found[index] for index in sorted_by(map(event_document, found), sort_by))
    if output.whole:
        click.echo(rendered(list(map(event_document, found)), output, single=False), nl=False)
    elif found:
        _print(printer.lines(found, clock.now()))
    else:
        click.echo("No events found", err=True)


def _kind_and_name(wanted: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The kind and name to select events by."""
    words = tuple(part for word in wanted for part in word.split("/", 1))
    if len(words) > 2:  # noqa: PLR2004 - a kind and a name
        raise click.UsageError("select one kind and at most one resource: KIND [NAME]")
    kind, name = (*words, None, None)[:2]
    if kind is None:
        return None, None
    if kind.casefold() in OTHER_OBJECTS:
        return OTHER_OBJECTS[kind.casefold()], name
    try:
        return resolve_kind(kind).kind, name
    except UnknownKind as error:
        raise click.BadParameter(str(error)) from None


def _follow(
    state: StateDirectory, read: Callable[[], tuple[Event, ...]], printer: EventPrinter, clock: BlockingClock
) -> None:
    """Print all events, then new and repeated ones, until Ctrl-C."""
    before: frozenset[Event] = frozenset()
    for present in state.watch(read, clock):
        new = [event for event in present if event not in before]
        if new:
            _print(printer.lines(new, clock.now()))
        before = frozenset(present)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
