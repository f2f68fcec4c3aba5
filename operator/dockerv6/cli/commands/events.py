"""``dockerv6 events``: what happened."""

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from dockerv6.api.kinds import UnknownKind, resolve_kind
from dockerv6.cli import options
from dockerv6.cli.printers.events import FORMATS, EventPrinter, whole
from dockerv6.cli.state import State
from dockerv6.cli.targets import complete
from dockerv6.cli.times import Time
from dockerv6.cli.verb import Verb
from dockerv6.store.model import Event, EventType

INTERNAL = {"host": "Host", "source": "Source"}
"""What events are about beside resources: the host as a whole, and the files."""


@click.command(
    "events",
    cls=Verb,
    short_help="Show what happened, newest last.",
    examples=(
        "dockerv6 events",
        "dockerv6 events v6net blog --since 1h",
        "dockerv6 events --types Warning -w",
    ),
)
@click.argument("wanted", metavar="[KIND [NAME]]", nargs=-1, shell_complete=complete)
@click.option("-w", "--watch", is_flag=True, help="Go on to show what happens, until Ctrl-C.")
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="How events are shown."
)
@click.option("--since", type=options.duration, metavar="DURATION", help="Only what was seen within this time: 1h.")
@click.option(
    "--types",
    type=click.Choice([*EventType], case_sensitive=False),
    multiple=True,
    help="Only events of this type; may be repeated.",
)
@options.state_dir
@click.pass_context
def command(
    ctx: click.Context,
    *,
    wanted: tuple[str, ...],
    watch: bool,
    output: str,
    since: float | None,
    types: tuple[str, ...],
    state_dir: str,
) -> None:
    """Show what happened, newest last; kept for 7 days. Works whether the daemon runs or not.

    Beside the resource kinds, "host" and "source" tell what concerns the host as a whole and the files.
    """
    kind, name = _about(wanted)
    state = State(Path(state_dir))
    time = options.time_of(ctx)
    oldest = None if since is None else time.now() - since

    def read() -> tuple[Event, ...]:
        return tuple(
            event
            for event in state.events(kind, name)
            if (oldest is None or event.last_seen >= oldest) and (not types or event.type in types)
        )

    if watch:
        _follow(state, read, EventPrinter(output), time)
        return
    found = read()
    if output != "table":
        click.echo(whole(found, output))
    elif found:
        _print(EventPrinter(output).lines(found, time.now()))
    else:
        click.echo("No events found", err=True)


def _about(wanted: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The kind and the name that events are asked of."""
    words = tuple(part for word in wanted for part in word.split("/", 1))
    if len(words) > 2:  # noqa: PLR2004 - a kind and a name
        raise click.UsageError("name one kind and at most one resource: KIND [NAME]")
    kind, name = (*words, None, None)[:2]
    if kind is None:
        return None, None
    if kind.casefold() in INTERNAL:
        return INTERNAL[kind.casefold()], name
    try:
        return resolve_kind(kind).kind, name
    except UnknownKind as error:
        raise click.BadParameter(str(error)) from None


def _follow(state: State, read: Callable[[], tuple[Event, ...]], printer: EventPrinter, time: Time) -> None:
    """Print what there is, and then what is new or was counted again. Ends with Ctrl-C."""
    before: frozenset[Event] = frozenset()
    for present in state.watch(read, time):
        new = [event for event in present if event not in before]
        if new:
            _print(printer.lines(new, time.now()))
        before = frozenset(present)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
