"""``dockerv6 plan``: what a run would do."""

from typing import TYPE_CHECKING

import click

from dockerv6.cli.errors import unusable_settings
from dockerv6.cli.options import with_settings
from dockerv6.cli.targets import complete, not_found, targets
from dockerv6.cli.verb import Verb

if TYPE_CHECKING:
    from dockerv6.daemon.preview import Preview
    from dockerv6.daemon.settings import Settings
    from dockerv6.planning.plan import Plan

NOTHING_TO_DO = 0
ERROR = 1
CHANGES = 2


@click.command(
    "plan",
    cls=Verb,
    short_help="Show what a run would do, without doing it.",
    examples=(
        "dockerv6 plan",
        "dockerv6 plan ipv6network/blog -o json",
    ),
)
@click.argument("wanted", metavar="[KIND/NAME]...", nargs=-1, shell_complete=complete)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How it is shown."
)
@with_settings
@click.pass_context
def command(ctx: click.Context, settings: "Settings", *, wanted: tuple[str, ...], output: str) -> None:
    """Show what a run would do: every step, why, and what it does to running containers. Nothing is changed.

    Exit codes: 0 nothing to do, 2 there are changes, 1 an error: the plan can't be made, a file is invalid, or a
    resource is blocked by something that a person must mend.
    """
    from dockerv6.daemon.preview import preview  # noqa: PLC0415 - the daemon's imports, which --help need not

    with unusable_settings():
        found = preview(settings)
    plans = _chosen(found, wanted)
    _show(plans, found, output)
    ctx.exit(_exit_code(plans, found))


def _chosen(found: "Preview", wanted: tuple[str, ...]) -> "list[Plan]":
    if not wanted:
        return list(found.plans)
    chosen = []
    for target in targets(wanted):
        of_kind = [plan for plan in found.plans if plan.kind == target.info.kind]
        named = [plan for plan in of_kind if target.name in (None, plan.name)]
        if target.name is not None and not named:
            raise not_found(target.info, target.name)
        chosen += named
    return chosen


def _show(plans: "list[Plan]", found: "Preview", output: str) -> None:
    from dockerv6.cli.printers import diagnostics, machine, plan  # noqa: PLC0415 - loads the planning floor

    if output == "json":
        click.echo(machine.text(plan.mapping(plans, found.diagnostics), "json"))
        return
    for diagnostic in found.diagnostics:
        click.echo(diagnostics.line(diagnostic), err=True)
    for line in plan.text(plans, flawed=_flawed(found)):
        click.echo(line)


def _flawed(found: "Preview") -> bool:
    from dockerv6.source.model import Severity  # noqa: PLC0415 - loads the models

    return any(diagnostic.severity is Severity.ERROR for diagnostic in found.diagnostics)


def _exit_code(plans: "list[Plan]", found: "Preview") -> int:
    if _flawed(found) or any(plan.blocked for plan in plans):
        return ERROR
    return CHANGES if any(not plan.empty for plan in plans) else NOTHING_TO_DO
