"""``dockerv6 describe``: everything that is known of a resource."""

from pathlib import Path

import click

from dockerv6.cli import options
from dockerv6.cli.printers.description import Known, description
from dockerv6.cli.state import State
from dockerv6.cli.targets import Target, complete, not_found, targets
from dockerv6.cli.verb import Verb
from dockerv6.store.model import StoredObject


@click.command(
    "describe",
    cls=Verb,
    short_help="Show everything that is known of a resource.",
    examples=(
        "dockerv6 describe v6net blog",
        "dockerv6 describe v6pool",
    ),
)
@click.argument("wanted", metavar="KIND [NAME]...", nargs=-1, required=True, shell_complete=complete)
@options.state_dir
@click.pass_context
def command(ctx: click.Context, *, wanted: tuple[str, ...], state_dir: str) -> None:
    """Show everything that is known of a resource: where it comes from, what it says, how it is and why.

    Without NAME: every resource of the kind. KIND/NAME works as well.
    """
    asked = targets(wanted)
    state = State(Path(state_dir))
    now = options.time_of(ctx).now()
    found = [(target, stored) for target in asked for stored in _of(state, target)]
    if not found:
        click.echo("No resources found", err=True)
        return
    if state.daemon() is None:
        click.echo(
            f"Warning: no dockerv6 is running with {state_dir}: this is how things were when it last was", err=True
        )
    allocations = state.allocations()
    for index, (target, stored) in enumerate(found):
        if index:
            click.echo("\n")
        events = state.events(stored.kind, stored.name)
        for line in description(Known(target.info, stored, allocations, events, now)):
            click.echo(line)


def _of(state: State, target: Target) -> tuple[StoredObject, ...]:
    stored = state.objects(target.info.kind, target.name)
    if not stored and target.name is not None:
        raise not_found(target.info, target.name)
    return stored
