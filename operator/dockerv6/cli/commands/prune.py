"""``dockerv6 prune``: deletions that are held back, and their confirmation."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.cli.options import ExampleCommand, clock_of, setting_option
from dockerv6.cli.printers.objects import NONE
from dockerv6.cli.printers.table import TextTable, age
from dockerv6.cli.selection import short_name
from dockerv6.cli.state import StateDirectory, condition_of

if TYPE_CHECKING:
    from dockerv6.store.model import Document, Event, StoredObject

_RECENT = 3600.0
"""Seconds for which an event about Docker networks without a resource is current: the daemon repeats it."""


@click.command(
    "prune",
    cls=ExampleCommand,
    short_help="Show and confirm deletions that are held back.",
    examples=(
        "dockerv6 prune",
        "dockerv6 prune --confirm",
    ),
)
@click.option("--confirm", is_flag=True, help="Confirm the deletions.")
@setting_option("state_dir")
@click.pass_context
def command(ctx: click.Context, *, confirm: bool, state_dir: str) -> None:
    """Show deletions that are held back because there are many at once. --confirm lets the daemon make them.

    A change is held back if it deletes more than half of the resources and more than three: an unmounted directory or
    a failed sync looks the same.
    """
    state = StateDirectory(Path(state_dir))
    now = clock_of(ctx).now()
    held = [
        stored for stored in state.objects() if condition_of(stored, ConditionType.PRUNE_HELD).get("status") == "True"
    ]
    orphaned = [e for e in state.events("Host") if e.reason == Reason.PRUNE_HELD and now - e.last_seen <= _RECENT]
    if not held and not orphaned:
        click.echo("No deletions are held back.")
        return
    _show(held, orphaned, now)
    if not confirm:
        click.echo("Confirm with `dockerv6 prune --confirm`, or restore the files.", err=True)
        return
    _store_confirmation(state.file, {"at": now, "held": [f"{stored.kind}/{stored.name}" for stored in held]})
    when = "now" if state.daemon() is not None else "when it is started: it is not running"
    click.echo(f"Confirmed. The daemon deletes these {when}.", err=True)


def _show(held: "list[StoredObject]", orphaned: "list[Event]", now: float) -> None:
    if held:
        table = TextTable(["Name", "Subnet", "Containers", "Missing", "Source"])
        for line in table.lines([_row(stored, now) for stored in held]):
            click.echo(line)
    for event in orphaned[-1:]:
        click.echo(f"{event.message} ({age(now - event.last_seen)} ago)")


def _row(stored: "StoredObject", now: float) -> list[str]:
    subnet, containers = (stored.status.get(field) for field in ("subnet", "containers"))
    missing = NONE if stored.missing_since is None else age(now - stored.missing_since)
    return [
        short_name(stored.kind, stored.name),
        NONE if subnet is None else str(subnet),
        NONE if containers is None else str(containers),
        missing,
        stored.file,
    ]


def _store_confirmation(file: Path, value: "Document") -> None:
    """Store the confirmation. The daemon may be running."""
    import asyncio  # noqa: PLC0415 - only a confirmation writes

    from dockerv6.store.sqlite import SqliteStore  # noqa: PLC0415 - as above

    async def write() -> None:
        store = await SqliteStore.open(file)
        try:
            await store.put_record("prune", "confirmed", value)
        finally:
            await store.close()

    asyncio.run(write())
