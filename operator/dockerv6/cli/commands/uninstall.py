"""``dockerv6 uninstall``: remove everything that dockerv6 created."""

import sys

import click

from dockerv6.cli.options import ExampleCommand, with_settings
from dockerv6.cli.printers.table import plain
from dockerv6.daemon.settings import Settings


@click.command(
    "uninstall",
    cls=ExampleCommand,
    short_help="Remove everything that dockerv6 created.",
    examples=(
        "dockerv6 uninstall",
        "dockerv6 uninstall --keep-networks --yes",
    ),
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--keep-networks", is_flag=True, help="Keep the Docker networks; remove rules and state and restore sysctls."
)
@with_settings
def command(settings: Settings, *, yes: bool, keep_networks: bool) -> None:
    """Remove the Docker networks, rules, NDP proxy entries and state of dockerv6, and restore sysctls.

    The daemon must be stopped. Resource files are kept, and so are Docker networks with running containers.
    """
    if not yes:
        _confirm(settings, keep_networks=keep_networks)
    from dockerv6.daemon.process import uninstall  # noqa: PLC0415 - loads the daemon

    removed = uninstall(settings, keep_networks=keep_networks)
    for line in removed:
        click.echo(plain(line))


def _confirm(settings: Settings, *, keep_networks: bool) -> None:
    if not interactive():
        raise click.UsageError("no terminal to ask for confirmation; use --yes")
    what = "rules" if keep_networks else "Docker networks and rules"
    question = f"Remove the {what} of dockerv6 from this host, and the state in {settings.state_dir}?"
    if not click.confirm(question, err=True):
        raise click.ClickException("nothing was removed")


def interactive() -> bool:
    """Whether standard input is a terminal."""
    return sys.stdin.isatty()
