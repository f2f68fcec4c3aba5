"""``dockerv6 cleanup``: remove the leftovers of another program."""

import click

from dockerv6.cli.options import ExampleCommand, with_settings
from dockerv6.cli.printers.table import plain
from dockerv6.daemon.settings import Settings

_RESTART = (
    "the engine's own IPv6 rules are on: docker-ipv6nat flushed their chains when it started and added its own rules; "
    "restart the engine to restore them (with live-restore, containers keep running)"
)


@click.command(
    "cleanup",
    cls=ExampleCommand,
    short_help="Remove rules of docker-ipv6nat.",
    examples=(
        "dockerv6 cleanup docker-ipv6nat --dry-run",
        "dockerv6 cleanup docker-ipv6nat",
    ),
)
@click.argument("program", type=click.Choice(["docker-ipv6nat"]))
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@with_settings
def command(settings: Settings, *, program: str, dry_run: bool) -> None:
    """Remove the rules and chains of a stopped docker-ipv6nat from ip6tables, and print each of them.

    Fails while docker-ipv6nat is running. Chains of the engine and rules of other programs are kept. The daemon may be
    running. See docs/docker-ipv6nat.md for the migration.
    """
    from dockerv6.daemon.cleanup import docker_ipv6nat  # noqa: PLC0415 - loads the daemon

    found = docker_ipv6nat(settings, dry_run=dry_run)
    if found is None:
        click.echo(f"No rules of {program} found.", err=True)
        return
    for line in found.lines:
        click.echo(f"{'would remove' if dry_run else 'removed'} {plain(line)}")
    if found.engine_rules:
        click.echo(_RESTART, err=True)
