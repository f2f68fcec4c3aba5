"""``dockerv6 prune``: deletions that are held back, and their confirmation."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli.options import ExampleCommand, clock_of, setting_option
from dockerv6.cli.printers.objects import NONE
from dockerv6.cli.printers.table import TextTable, age, plain
from dockerv6.cli.selection import short_name
from dockerv6.cli.state import StateDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dockerv6.store.model import JsonObject, StoredObject


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
    """Show deletions that are held back because they may be a mistake. --confirm lets the daemon execute them.

    A change is held back if it deletes more than half of the resources and more than three: an unmounted directory or
    a failed sync looks the same.
    """
    state = StateDirectory(Path(state_dir))
    now = clock_of(ctx).now()
    held = state.records("prune")
    missing = frozenset(_names(held.get("resources")))
    resources = [stored for stored in state.objects() if f"{stored.kind}/{stored.name}" in missing]
    networks = _names(held.get("networks"))
    if not resources and not networks:
        click.echo("No deletions are held back.")
        return
    _show(resources, networks, now)
    if not confirm:
        click.echo("Confirm with `dockerv6 prune --confirm`, or restore the files.", err=True)
        return
    _store_confirmation(state.file, {what: held[what] for what in ("resources", "networks") if what in held})
    when = "now" if state.daemon() is not None else "when it is started: it is not running"
    click.echo(f"Confirmed. The daemon deletes these {when}.", err=True)


def _show(resources: "list[StoredObject]", networks: tuple[str, ...], now: float) -> None:
    if resources:
        table = TextTable(["Name", "Subnet", "Containers", "Missing", "Source"])
        for line in table.lines([_row(stored, now) for stored in resources]):
            click.echo(line)
    if networks:
        click.echo(f"Docker networks that belong to no resource: {plain(', '.join(networks))}")


def _names(record: "JsonObject | None") -> tuple[str, ...]:
    names = (record or {}).get("names")
    return tuple(map(str, names)) if isinstance(names, list) else ()


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


def _store_confirmation(file: Path, confirmed: "Mapping[str, JsonObject]") -> None:
    """Store what is confirmed. The daemon may be running."""
    import asyncio  # noqa: PLC0415 - only a confirmation writes

    from dockerv6.store.sqlite import SqliteStore  # noqa: PLC0415 - as above

    async def write() -> None:
        store = await SqliteStore.open(file)
        try:
            for what, names in confirmed.items():
                await store.put_record("prune", f"confirmed-{what}", names)
        finally:
            await store.close()

    asyncio.run(write())
