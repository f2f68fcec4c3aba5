"""``dockerv6 diff``: what ``plan`` shows, under kubectl's name and with kubectl's exit codes."""

from dataclasses import asdict

import click

from dockerv6.cli.commands import plan
from dockerv6.cli.main import as_click_error
from dockerv6.cli.options import ExampleCommand, with_settings
from dockerv6.cli.selection import complete
from dockerv6.daemon.settings import Settings

CHANGES, ERROR = 1, 2


class _DiffError(click.ClickException):
    exit_code = ERROR


@click.command(
    "diff",
    cls=ExampleCommand,
    short_help="Show changes, as plan does, with kubectl's exit codes.",
    examples=("dockerv6 diff", "dockerv6 diff ipv6network/blog -o json"),
)
@click.argument("wanted", metavar="[KIND/NAME]...", nargs=-1, shell_complete=complete)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format."
)
@with_settings
@click.pass_context
def command(ctx: click.Context, settings: Settings, *, wanted: tuple[str, ...], output: str) -> None:
    """Show the changes that `dockerv6 run` would make, as `dockerv6 plan` does.

    The exit codes are those of `kubectl diff`: 0 no changes, 1 changes to make, 2 error. `plan` has those of
    `terraform plan -detailed-exitcode`: 0, 2 and 1.
    """
    try:
        ctx.invoke(plan.command, **asdict(settings), wanted=wanted, output=output)
    except click.exceptions.Exit as end:
        codes = {plan.NOTHING_TO_DO: 0, plan.CHANGES: CHANGES}
        raise click.exceptions.Exit(codes.get(end.exit_code, ERROR)) from end
    except Exception as error:
        expected = error if isinstance(error, click.ClickException) else as_click_error(error)
        if expected is None:
            raise
        raise _DiffError(expected.message) from error
