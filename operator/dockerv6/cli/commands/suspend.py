"""``dockerv6 suspend``: leave a resource as it is until it is resumed."""

from collections.abc import Mapping
from pathlib import Path

import click

from dockerv6.api.kinds import NETWORK, POLICY, POOL
from dockerv6.cli.daemon_client import daemon_address, query, reconcile_paths
from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import ExampleCommand, clock_of, setting_option
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import complete, full_name, not_found, parse_references
from dockerv6.cli.state import StateDirectory
from dockerv6.daemon.settings import Settings
from dockerv6.store.model import SUSPENDED, StoredObject

_REFUSED = {
    POOL: "it changes nothing by itself; set spec.disabled: true in its file to stop new allocations, or suspend the"
    " ipv6networks that use it",
    POLICY: "its rules follow containers. An old rule would open a port of the next container that gets the same"
    " address. Remove a Docker network from its spec.selector, or stop the daemon, which leaves all rules as they are:"
    " systemctl stop dockerv6",
}
"""Why only networks can be suspended, and what to do instead."""

_TIMEOUT = 10.0  # seconds
_ACCEPTED = 202


@click.command(
    "suspend",
    cls=ExampleCommand,
    short_help="Leave resources as they are until they are resumed.",
    examples=("dockerv6 suspend v6net blog", "dockerv6 suspend ipv6network/blog ipv6network/shop"),
)
@click.argument("wanted", metavar="KIND/NAME...", nargs=-1, required=True, shell_complete=complete)
@setting_option("state_dir")
@setting_option("run_dir")
@setting_option("listen")
@without_namespaces
@click.pass_context
def command(ctx: click.Context, *, wanted: tuple[str, ...], state_dir: str, run_dir: str, listen: str) -> None:
    """Stop changing the networks, rules and settings of resources until `dockerv6 resume`. Traffic continues.

    The suspension is stored in the state directory and survives a restart. `get` shows the reason Suspended. While a
    resource is suspended, `dockerv6 delete` is refused, and a deletion of its file waits for `dockerv6 resume`.

    Files are not changed. `spec.suspend: true` in a file does the same, but such a resource can be deleted; its Docker
    network then stays.

    Only an IPv6Network can be suspended. `spec.disabled: true` in an IPv6Pool stops new allocations. The rules of an
    IPv6Policy must follow containers, so a policy can't be suspended.
    """
    settings = Settings(state_dir=state_dir, run_dir=run_dir, listen=listen)
    selected = select(wanted, state_dir)
    now = clock_of(ctx).now()
    write_records(settings, selected, since=now)
    for stored in selected:
        click.echo(f"{full_name(stored.kind, stored.name)} suspended")
    notify_daemon(settings, selected)


def select(wanted: tuple[str, ...], state_dir: str) -> tuple[StoredObject, ...]:
    """The named resources, all of which can be suspended.

    Raises:
        click.ClickException: one does not exist, or can't be suspended.
    """
    references = parse_references(wanted)
    if any(ref.name is None for ref in references):
        raise click.UsageError("name the resources: KIND/NAME …, or KIND NAME …")
    for ref in references:
        if ref.info.kind != NETWORK:
            raise click.ClickException(f"an {ref.info.kind} can't be suspended: {_REFUSED[ref.info.kind]}")
    objects = {stored.name: stored for stored in StateDirectory(Path(state_dir)).objects(NETWORK)}
    for ref in references:
        if ref.name not in objects:
            raise not_found(ref.info, str(ref.name))
    return tuple(objects[str(ref.name)] for ref in references)


def suspended_by_file(stored: StoredObject) -> bool:
    """Whether the resource's own file suspends it."""
    spec = stored.document.get("spec")
    return isinstance(spec, Mapping) and spec.get("suspend") is True


def write_records(settings: Settings, selected: tuple[StoredObject, ...], *, since: float | None) -> None:
    """Record since when resources are suspended, or with None that they are not. The daemon may be running.

    The time of creation identifies the object: another one may have the name when the daemon reads the record.
    """
    import asyncio  # noqa: PLC0415 - after the arguments were checked

    from dockerv6.store.sqlite import SqliteStore  # noqa: PLC0415 - as above

    async def write() -> None:
        store = await SqliteStore.open(settings.database)
        try:
            for stored in selected:
                name = f"{stored.kind}/{stored.name}"
                if since is None:
                    await store.drop_record(SUSPENDED, name)
                elif (await store.record(SUSPENDED, name) or {}).get("created") != stored.created:
                    await store.put_record(SUSPENDED, name, {"since": since, "created": stored.created})
        finally:
            await store.close()

    asyncio.run(write())


def notify_daemon(settings: Settings, selected: tuple[StoredObject, ...]) -> None:
    """Have the running daemon take over what was recorded. Prints a message if none runs or it can't be notified."""
    if StateDirectory(Path(settings.state_dir)).daemon() is None:
        click.echo("no dockerv6 is running: this takes effect when it is started", err=True)
        return
    problem = ""
    try:
        for path in reconcile_paths(selected):
            response = query(daemon_address(settings), path, _TIMEOUT, "POST")
            if response.status != _ACCEPTED:
                problem = response.body
    except (OSError, ValueError) as error:
        problem = f"{settings.address}: {error}"
    except click.UsageError as error:
        problem = error.message
    if problem:
        click.echo(
            f"Warning: the daemon could not be notified ({plain(problem)}); the change takes effect at its next resync",
            err=True,
        )
