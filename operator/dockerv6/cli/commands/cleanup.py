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
    short_help="Remove the rules that docker-ipv6nat left.",
    examples=(
        "dockerv6 cleanup docker-ipv6nat --dry-run",
        "dockerv6 cleanup docker-ipv6nat",
    ),
)
@click.argument("program", type=click.Choice(["docker-ipv6nat"]))
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
@with_settings
def command(settings: "Settings", *, program: str, dry_run: bool) -> None:
    """Remove the rules and chains that docker-ipv6nat left in ip6tables, and print each.

    Refuses while docker-ipv6nat is running. The rules of the engine and of other programs stay. The command can be
    repeated, and run while the daemon runs. docs/docker-ipv6nat.md describes the migration.
    """
    from dockerv6.daemon.cleanup import docker_ipv6nat  # noqa: PLC0415 - the daemon's imports, which --help need not

    with unusable_settings():
        done = docker_ipv6nat(settings, dry_run=dry_run)
    for line in done.removed:
        click.echo(f"{'would remove' if dry_run else 'removed'} {line}")
    for note in done.notes:
        click.echo(note, err=True)
    if not done.removed:
        click.echo(f"Found nothing of {program} to remove.", err=True)
