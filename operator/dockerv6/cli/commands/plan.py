"""``dockerv6 plan``: show the changes that a run would make."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli.options import ExampleCommand, with_settings
from dockerv6.cli.printers.outputs import encode
from dockerv6.cli.selection import complete, not_found, parse_references
from dockerv6.daemon.settings import Settings

if TYPE_CHECKING:
    from dockerv6.daemon.preview import Preview
    from dockerv6.planning.plan import Plan
    from dockerv6.source.model import SourcedResource

NOTHING_TO_DO = 0
ERROR = 1
CHANGES = 2


@click.command(
    "plan",
    cls=ExampleCommand,
    short_help="Show changes without making them.",
    examples=(
        "dockerv6 plan",
        "dockerv6 plan ipv6network/blog -o json",
        "dockerv6 plan --out blog.plan && dockerv6 apply blog.plan",
    ),
)
@click.argument("wanted", metavar="[KIND/NAME]...", nargs=-1, shell_complete=complete)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the plan to a file, for `dockerv6 apply FILE`.",
)
@with_settings
@click.pass_context
def command(ctx: click.Context, settings: Settings, *, wanted: tuple[str, ...], output: str, out: Path | None) -> None:
    """Show the changes that `dockerv6 run` would make: each step, its reason, and which containers it disconnects.

    Exit codes: 0 no changes, 2 changes to make, 1 error: the plan can't be computed, a file is invalid, or a resource
    is blocked: it is not Ready until the problem that the plan names is solved. Warnings don't change the exit code.
    """
    if out is not None and wanted:
        raise click.UsageError("--out writes the plan of all resources; leave out KIND/NAME")
    if out == Path("-"):
        raise click.UsageError("--out needs a file: standard output has the plan in words")
    ctx.exit(show_plan(settings, wanted, output, out=out))


def show_plan(
    settings: Settings,
    wanted: Sequence[str],
    output: str,
    *,
    out: Path | None = None,
    given: "Collection[SourcedResource]" = (),
) -> int:
    """Print the plan of the wanted resources, all if none is named; return the exit code.

    Args:
        settings: of the command.
        wanted: as `parse_references` takes them.
        output: "text" or "json".
        out: also write the plan to this file.
        given: as for `preview`.
    """
    from dockerv6.daemon.preview import plan_now, write_plan  # noqa: PLC0415 - loads the daemon

    found = plan_now(settings, given)
    if out is not None:
        write_plan(found.saved, out)
    plans = _selected(found, wanted)
    _show(plans, found, output)
    return _exit_code(plans, found)


def _selected(found: "Preview", wanted: Sequence[str]) -> "list[Plan]":
    if not wanted:
        return list(found.plans)
    selected = []
    for ref in parse_references(wanted):
        of_kind = [plan for plan in found.plans if plan.kind == ref.info.kind]
        named = [plan for plan in of_kind if ref.name in (None, plan.name)]
        if ref.name is not None and not named:
            raise not_found(ref.info, ref.name)
        selected += named
    return selected


def _show(plans: "list[Plan]", found: "Preview", output: str) -> None:
    from dockerv6.cli.printers.diagnostics import diagnostic_line  # noqa: PLC0415 - loads the models
    from dockerv6.cli.printers.plan import plan_lines, plan_mapping  # noqa: PLC0415 - loads the planning floor

    if output == "json":
        click.echo(encode(plan_mapping(plans, found.diagnostics), "json"))
        return
    for diagnostic in found.diagnostics:
        click.echo(diagnostic_line(diagnostic), err=True)
    for line in plan_lines(plans, invalid_files=_has_errors(found)):
        click.echo(line)


def _has_errors(found: "Preview") -> bool:
    from dockerv6.source.model import Severity  # noqa: PLC0415 - loads the models

    return any(diagnostic.severity is Severity.ERROR for diagnostic in found.diagnostics)


def _exit_code(plans: "list[Plan]", found: "Preview") -> int:
    if _has_errors(found) or any(plan.obstacles for plan in plans):
        return ERROR
    return CHANGES if any(not plan.empty for plan in plans) else NOTHING_TO_DO
