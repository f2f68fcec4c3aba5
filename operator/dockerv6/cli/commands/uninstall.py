"""``dockerv6 uninstall``: leave the host as if dockerv6 had never been there."""

import sys
from typing import TYPE_CHECKING

import click

from dockerv6.cli.errors import unusable_settings
from dockerv6.cli.options import with_settings
from dockerv6.cli.verb import Verb

if TYPE_CHECKING:
    from dockerv6.daemon.settings import Settings


@click.command(
    "uninstall",
    cls=Verb,
    short_help="Remove all that is dockerv6's from the host.",
    examples=(
        "dockerv6 uninstall",
        "dockerv6 uninstall --keep-networks --yes",
    ),
)
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--keep-networks", is_flag=True, help="Keep the Docker networks; remove only rules, sysctls and state.")
@with_settings
def command(settings: "Settings", *, yes: bool, keep_networks: bool) -> None:
    """Remove what dockerv6 made: Docker networks, rules, NDP proxies, state; put sysctls back. Files stay.

    The daemon must have been stopped. Networks with running containers are the reason to look twice.
    """
    if not yes:
        _ask(settings, keep_networks=keep_networks)
    from dockerv6.daemon.process import uninstall  # noqa: PLC0415 - the daemon's imports, which --help need not

    with unusable_settings():
        removed = uninstall(settings, keep_networks=keep_networks)
    for line in removed:
        click.echo(line)


def _ask(settings: "Settings", *, keep_networks: bool) -> None:
    if not interactive():
        raise click.UsageError("there is no terminal to ask on: say --yes")
    networks = "its rules" if keep_networks else "its Docker networks and rules"
    question = f"Remove {networks} from this host, and forget the state in {settings.state_dir}?"
    if not click.confirm(question, err=True):
        raise click.ClickException("nothing was removed")


def interactive() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty()
