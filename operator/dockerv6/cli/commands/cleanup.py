"""``dockerv6 cleanup``: remove what another program left."""

from typing import TYPE_CHECKING

import click

from dockerv6.cli.errors import unusable_settings
from dockerv6.cli.options import with_settings
from dockerv6.cli.verb import Verb

if TYPE_CHECKING:
    from dockerv6.daemon.settings import Settings


_RESTART = (
    "the engine's own IPv6 rules are on: docker-ipv6nat emptied their chains when it started and wrote into them; "
    "restart the engine, which writes them again (live-restore keeps containers running meanwhile)"
)


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
        found = docker_ipv6nat(settings, dry_run=dry_run)
    if found is None:
        click.echo(f"Found nothing of {program} to remove.", err=True)
        return
    for line in found.lines:
        click.echo(f"{'would remove' if dry_run else 'removed'} {line}")
    if found.engine_rules:
        click.echo(_RESTART, err=True)
