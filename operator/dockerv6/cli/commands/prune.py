"""``dockerv6 prune``: what a prune guard holds, and a person's word that it is meant."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli import options
from dockerv6.cli.printers.columns import NONE, find
from dockerv6.cli.printers.documents import document
from dockerv6.cli.printers.table import Table
from dockerv6.cli.state import State
from dockerv6.cli.targets import short_name
from dockerv6.cli.times import age
from dockerv6.cli.verb import Verb

if TYPE_CHECKING:
    from dockerv6.store.model import Document, Event, StoredObject

HELD = '.status.conditions[?(@.type=="PruneHeld")].status'
REASON = "PruneHeld"
RECENT = 3600.0
"""Seconds for which an event about networks without a resource is taken as still true: it is repeated while it is."""


@click.command(
    "prune",
    cls=Verb,
    short_help="Show what is held back from being removed, and confirm it.",
    examples=(
        "dockerv6 prune",
        "dockerv6 prune --confirm",
    ),
)
@click.option("--confirm", is_flag=True, help="Say that the removals shown are meant.")
@options.state_dir
@click.pass_context
def command(ctx: click.Context, *, confirm: bool, state_dir: str) -> None:
    """Show what would be removed but is held back because it is so much at once; --confirm lets it go.

    Held is a change that takes more than half of the resources, and more than three: an unmounted directory or a
    failed sync looks just like that.
    """
    state = State(Path(state_dir))
    now = options.time_of(ctx).now()
    held = [stored for stored in state.objects() if find(document(stored), HELD) == "True"]
    strays = [e for e in state.events("Host") if e.reason == REASON and now - e.last_seen <= RECENT]
    if not held and not strays:
        click.echo("Nothing is held back.")
        return
    _show(held, strays, now)
    if not confirm:
        click.echo("Let it go with `dockerv6 prune --confirm`, or put the files back.", err=True)
        return
    _put(state.file, {"at": now, "held": [f"{stored.kind}/{stored.name}" for stored in held]})
    waits = "" if state.daemon() is not None else " when it next runs: it is not running now"
    click.echo(f"Confirmed; the daemon removes this{waits}.", err=True)


def _show(held: "list[StoredObject]", strays: "list[Event]", now: float) -> None:
    if held:
        table = Table(["Name", "Subnet", "Containers", "Missing", "Source"])
        for line in table.lines([_row(stored, now) for stored in held]):
            click.echo(line)
    for event in strays[-1:]:
        click.echo(f"{event.message} ({age(now - event.last_seen)} ago)")


def _row(stored: "StoredObject", now: float) -> list[str]:
    shown = document(stored)
    subnet, containers = (find(shown, path) for path in (".status.subnet", ".status.containers"))
    missing = NONE if stored.missing_since is None else age(now - stored.missing_since)
    return [
        short_name(stored.kind, stored.name),
        NONE if subnet is None else str(subnet),
        NONE if containers is None else str(containers),
        missing,
        stored.file,
    ]


def _put(file: Path, value: "Document") -> None:
    """Write the confirmation down, beside a running daemon or without one."""
    import asyncio  # noqa: PLC0415 - only a confirmation writes

    from dockerv6.store.sqlite import SqliteStore  # noqa: PLC0415 - same

    async def write() -> None:
        store = await SqliteStore.open(file)
        try:
            await store.put_record("prune", "confirmed", value)
        finally:
            await store.close()

    asyncio.run(write())
