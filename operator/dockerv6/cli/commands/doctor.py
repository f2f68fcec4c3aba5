"""``dockerv6 doctor``: what is right and wrong with this host."""

from typing import TYPE_CHECKING

import click

from dockerv6.cli.errors import unusable_settings
from dockerv6.cli.options import with_settings
from dockerv6.cli.verb import Verb

if TYPE_CHECKING:
    from dockerv6.daemon.settings import Settings


@click.command(
    "doctor",
    cls=Verb,
    short_help="Look for what is wrong with this host.",
    examples=(
        "dockerv6 doctor",
        "dockerv6 doctor -o json",
    ),
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How it is told."
)
@with_settings
@click.pass_context
def command(ctx: click.Context, settings: "Settings", *, output: str) -> None:
    """Look at this host - privileges, kernel, engine, filters, other programs - and say what each finding means.

    Changes nothing, and needs no daemon. Exit codes: 0 all is well, or there are only warnings; 1 something keeps
    dockerv6 from doing its work.
    """
    from dockerv6.cli.printers import checks as printer  # noqa: PLC0415 - as below
    from dockerv6.daemon.doctor import examine  # noqa: PLC0415 - the daemon's imports, which --help need not

    with unusable_settings():
        found = examine(settings)
    if output == "json":
        from dockerv6.cli.printers.machine import text  # noqa: PLC0415 - only for -o json

        click.echo(text(printer.mapping(found), "json"))
    else:
        for line in printer.text(found):
            click.echo(line)
        click.echo(printer.summary(found), err=True)
    ctx.exit(1 if printer.worst(found) == "fail" else 0)
