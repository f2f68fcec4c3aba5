"""``dockerv6 reconcile``: have the running daemon reconcile resources now."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli.daemon_client import daemon_address, query, reconcile_paths
from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import DURATION, ExampleCommand, clock_of, setting_option
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import complete, full_name, not_found, parse_references
from dockerv6.cli.state import POLL_INTERVAL, StateDirectory, condition_of
from dockerv6.daemon.settings import Settings

if TYPE_CHECKING:
    from dockerv6.store.model import StoredObject

_LONGEST_REQUEST = 10.0  # seconds
_ACCEPTED, _NOT_FOUND = 202, 404


@click.command(
    "reconcile",
    cls=ExampleCommand,
    short_help="Reconcile resources now.",
    examples=("dockerv6 reconcile ipv6network/blog", "dockerv6 reconcile v6net blog shop --timeout=2m"),
)
@click.argument("wanted", metavar="KIND/NAME...", nargs=-1, required=True, shell_complete=complete)
@click.option(
    "--timeout", type=DURATION, metavar="DURATION", default="1m", show_default=True, help="Maximum time to wait."
)
@setting_option("state_dir")
@setting_option("run_dir")
@setting_option("listen")
@without_namespaces
@click.pass_context
def command(
    ctx: click.Context, *, wanted: tuple[str, ...], timeout: float, state_dir: str, run_dir: str, listen: str
) -> None:
    """Let the running daemon read the engine, the kernel and its rules again, and reconcile resources.

    Prints the condition Ready afterwards. The exit code is 1 if it is not True, or on timeout. Without a daemon, use
    `dockerv6 apply`. The daemon notices changes by itself, so this command is rarely needed.
    """
    references = parse_references(wanted)
    state = StateDirectory(Path(state_dir))
    selected: list[StoredObject] = []
    for ref in references:
        found = state.objects(ref.info.kind, ref.name)
        if not found and ref.name is not None:
            raise not_found(ref.info, ref.name)
        selected += found
    if not selected:
        click.echo("No resources found", err=True)
        return
    if state.daemon() is None:
        raise click.ClickException(f"no dockerv6 is running with {state_dir}: start it, or run `dockerv6 apply`")
    address = daemon_address(Settings(state_dir=state_dir, run_dir=run_dir, listen=listen))
    clock = clock_of(ctx)
    until = clock.monotonic() + timeout
    paths = tuple(reconcile_paths(selected))
    for path in paths:
        _request(address, path, "POST")
    while any(_request(address, path, "GET") for path in paths):
        if clock.monotonic() >= until:
            raise click.ClickException("timed out: the daemon still reconciles; see `dockerv6 get` and its log")
        clock.sleep(POLL_INTERVAL)
    ctx.exit(max(_report(state, stored) for stored in selected))


def _request(address: str, path: str, method: str) -> bool:
    """Ask the daemon about resources. Returns whether one of them still has to be reconciled."""
    from json import loads  # noqa: PLC0415 - start-up is budgeted

    try:
        response = query(address, path, _LONGEST_REQUEST, method)
        if response.status == _NOT_FOUND and method == "POST":
            raise click.ClickException(f"deleted meanwhile: {plain(response.body)}")
        if response.status not in (200, _ACCEPTED):
            raise click.ClickException(f"{address} returned {response.status}: {plain(response.body)}")
        return method == "POST" or bool(loads(response.body).get("pending"))
    except (OSError, ValueError, AttributeError) as error:
        raise click.ClickException(
            f"no response from {address}: {error}; use the --run-dir and --listen of the daemon"
        ) from error


def _report(state: StateDirectory, before: "StoredObject") -> int:
    """Print the condition Ready; 0: it is True."""
    name = full_name(before.kind, before.name)
    stored = next(iter(state.objects(before.kind, before.name)), None)
    if stored is None:
        click.echo(f"{name} deleted")
        return 0
    ready = condition_of(stored, "Ready")
    click.echo(f"{name} reconciled")
    text = f"Ready={ready.get('status', 'Unknown')} ({ready.get('reason', '')}): {ready.get('message', '')}"
    click.echo(f"  {plain(text)}", err=True)
    return 0 if ready.get("status") == "True" else 1
