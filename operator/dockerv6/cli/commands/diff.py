"""``dockerv6 diff``: what ``plan`` shows, under kubectl's name and with kubectl's exit codes."""

import click

from dockerv6.cli.commands import plan
from dockerv6.cli.main import as_click_error
from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import ExampleCommand, filename_option, recursive_option, with_settings
from dockerv6.cli.selection import complete
from dockerv6.daemon.settings import Settings

CHANGES, ERROR = 1, 2


class _DiffError(click.ClickException):
    exit_code = ERROR


@click.command(
    "diff",
    cls=ExampleCommand,
    short_help="Show changes, as plan does, with kubectl's exit codes.",
    examples=("dockerv6 diff", "dockerv6 diff -f blog.yaml", "dockerv6 diff ipv6network/blog -o json"),
)
@click.argument("wanted", metavar="[KIND/NAME]...", nargs=-1, shell_complete=complete)
@filename_option(
    "Show what would change if `dockerv6 apply -f` wrote the resources of a file, a directory or standard input (-)."
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format."
)
@with_settings
@recursive_option
@without_namespaces
@click.pass_context
def command(
    ctx: click.Context, settings: Settings, *, manifests: tuple[str, ...], wanted: tuple[str, ...], output: str
) -> None:
    """Show the changes that `dockerv6 run` would make, as `dockerv6 plan` does.

    With -f, show the changes of all resources as if `dockerv6 apply -f` had written these files: one resource may
    change another one, as a pool changes the networks that draw from it. Nothing is written. Only changes of the host
    are shown: a file that differs in a comment or a label causes none.

    The exit codes are those of `kubectl diff`: 0 no changes, 1 changes to make, 2 error. `plan` has those of
    `terraform plan -detailed-exitcode`: 0, 2 and 1.
    """
    if manifests and wanted:
        raise click.UsageError("-f names the resources by their files, and KIND/NAME by their names: give one of them")
    try:
        code = _diff(settings, manifests, wanted, output)
    except Exception as error:
        expected = error if isinstance(error, click.ClickException) else as_click_error(error)
        if expected is None:
            raise
        raise _DiffError(expected.message) from error
    ctx.exit({plan.NOTHING_TO_DO: 0, plan.CHANGES: CHANGES}.get(code, ERROR))


def _diff(settings: Settings, manifests: tuple[str, ...], wanted: tuple[str, ...], output: str) -> int:
    if not manifests:
        return plan.show_plan(settings, wanted, output)
    from dockerv6.cli.manifests import read_resources  # noqa: PLC0415 - loads the models

    return plan.show_plan(settings, (), output, given=read_resources(manifests))
