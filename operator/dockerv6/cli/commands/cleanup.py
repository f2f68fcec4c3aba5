"""``dockerv6 cleanup``: remove what another program left."""

from typing import TYPE_CHECKING

import click

from dockerv6.cli.errors import unusable_settings
from dockerv6.cli.options import with_settings
from dockerv6.cli.verb import Verb

if TYPE_CHECKING:
    from dockerv6.daemon.settings import Settings


@click.command(
    "cleanup",
    cls=Verb,
    short_help="Remove what docker-ipv6nat left.",
    examples=(
        "dockerv6 cleanup docker-ipv6nat --dry-run",
        "dockerv6 cleanup docker-ipv6nat",
    ),
)
@click.argument("program", type=click.Choice(["docker-ipv6nat"]))
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@with_settings
def command(settings: "Settings", *, program: str, dry_run: bool) -> None:
    """Remove the rules and chains that docker-ipv6nat left in ip6tables, once it is stopped; a line for each.

    Refuses while it is at work. The engine's own chains and other people's rules stay as they are. May be repeated, and
    while the daemon runs. docs/docker-ipv6nat.md says how to move over.
    """
    from dockerv6.daemon.cleanup import docker_ipv6nat  # noqa: PLC0415 - the daemon's imports, which --help need not

    with unusable_settings():
        done = docker_ipv6nat(settings, dry_run=dry_run)
    for line in done.removed:
        click.echo(f"{'would remove' if dry_run else 'removed'} {line}")
    for note in done.notes:
        click.echo(note, err=True)
    if not done.removed:
        click.echo(f"Nothing of {program} is there to be removed.", err=True)
