"""``dockerv6 doctor``: check the host."""

from typing import TYPE_CHECKING

import click

from dockerv6.api.kinds import API_VERSION
from dockerv6.cli.engine_fix import complete_ids, explanation_of, fix_findings
from dockerv6.cli.options import ExampleCommand, click_type, with_settings
from dockerv6.cli.printers.outputs import encode
from dockerv6.cli.printers.table import plain, width
from dockerv6.cli.selection import complete_networks
from dockerv6.daemon.settings import Settings
from dockerv6.probe.targets import ProbeRequest, ProbeTarget, parse_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockerv6.daemon.findings import HostCheck

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_WORST_FIRST = ("fail", "warn", "ok")
_GIVEN = click.core.ParameterSource.COMMANDLINE


@click.command(
    "doctor",
    cls=ExampleCommand,
    short_help="Check the host for problems.",
    examples=(
        "dockerv6 doctor",
        "dockerv6 doctor -o json",
        "dockerv6 doctor --explain RouteConflict",
        "dockerv6 doctor --fix --dry-run",
        "dockerv6 doctor --fix --restart-engine",
        "dockerv6 doctor --probe",
        "dockerv6 doctor --probe blog --probe-target www.example.org:443",
    ),
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Output format."
)
@click.option(
    "--explain",
    metavar="ID",
    shell_complete=complete_ids,
    help="Explain the finding with this id: its meaning, its remedy and how to check it. Runs no checks.",
)
@click.option(
    "--fix",
    is_flag=True,
    help="Show the change of daemon.json that solves findings, check it with `dockerd --validate`, ask, and write it.",
)
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.option("--dry-run", is_flag=True, help="With --fix: show the change, and write nothing.")
@click.option(
    "--restart-engine",
    is_flag=True,
    help="With --fix: restart the engine with systemd, and restore daemon.json if it does not start.",
)
@click.argument("networks", metavar="[NETWORK]...", nargs=-1, shell_complete=complete_networks)
@click.option("--probe", is_flag=True, help="Send packets from a temporary container on each IPv6Network.")
@click.option("--probe-image", metavar="IMAGE", default="", help="With --probe: use this image; it needs `sleep`.")
@click.option(
    "--probe-target",
    "targets",
    metavar="HOST[:PORT]",
    multiple=True,
    type=click_type(parse_target),
    help="With --probe: a host outside to test. Default: the host's next hop and its IPv6 resolvers. Repeatable.",
)
@with_settings
@click.pass_context
def command(
    ctx: click.Context,
    settings: Settings,
    *,
    output: str,
    explain: str | None,
    fix: bool,
    yes: bool,
    dry_run: bool,
    restart_engine: bool,
    probe: bool,
    networks: tuple[str, ...],
    probe_image: str,
    targets: tuple[ProbeTarget, ...],
) -> None:
    """Check this host (privileges, kernel, engine, filters, other programs) and print a remedy for each problem.

    Needs no daemon, and changes no setting without --fix. Each finding has an id in brackets: --explain and
    docs/findings.md explain it.

    With --probe, doctor starts a temporary container on each IPv6Network, or on the NETWORKs given, and sends packets
    from it: to the gateway, the resolver and hosts outside, with the path MTU. It also tries the published ports from a
    temporary network namespace, as a client outside would. Everything is removed at the end.

    Exit codes: 0 no problems, or only warnings; 1 a problem keeps dockerv6 from working; 2 --fix showed a change and
    did not apply it.
    """
    if explain is not None:
        given = {name for name, value in ctx.params.items() if value and ctx.get_parameter_source(name) is _GIVEN}
        if given != {"explain"}:
            raise click.UsageError("--explain can't be used with other options")
        click.echo(explanation_of(explain))
        return
    if (yes or dry_run or restart_engine) and not fix:
        raise click.UsageError("--yes, --dry-run and --restart-engine need --fix")
    if not probe and (networks or probe_image or targets):
        raise click.UsageError("NETWORK, --probe-image and --probe-target need --probe")
    if fix and output != "table":
        raise click.UsageError("--fix can't be used with -o json; -o json without --fix lists the findings")
    from dockerv6.daemon.doctor import examine  # noqa: PLC0415 - loads the daemon

    checks = examine(settings, ProbeRequest(networks, probe_image, targets) if probe else None)
    if output == "json":
        click.echo(encode(_mapping(checks), "json"))
    else:
        for line in _lines(checks):
            click.echo(line)
        click.echo(_summary(checks), err=True)
    ended = (
        fix_findings(settings, checks, examine, yes=yes, dry_run=dry_run, restart_engine=restart_engine) if fix else ()
    )
    ctx.exit(1 if _worst([each for each in checks if each not in ended]) == "fail" else 0)


def _lines(checks: "Sequence[HostCheck]") -> list[str]:
    """``ok    kernel   6.1.0``, and each step of a remedy on its own line."""
    columns = max((width(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        name = check.name + " " * (columns - width(check.name))
        found = f" [{check.id}]" if check.id else ""
        lines.append(
            f"{click.style(f'{check.status:<4}', fg=_COLOURS[check.status])}  {name}  {plain(check.message)}{found}"
        )
        for number, step in enumerate(check.remedy, 1):
            marker = f"{number}." if len(check.remedy) > 1 else "->"
            lines.append(f"{'':{columns + 8}}{marker} {plain(step)}")
    return lines


def _summary(checks: "Sequence[HostCheck]") -> str:
    """``16 checks: 14 ok, 2 warnings, 0 failures``."""
    count = {status: sum(check.status == status for check in checks) for status in _WORST_FIRST}
    warnings = "1 warning" if count["warn"] == 1 else f"{count['warn']} warnings"
    failures = "1 failure" if count["fail"] == 1 else f"{count['fail']} failures"
    return f"{len(checks)} checks: {count['ok']} ok, {warnings}, {failures}"


def _worst(checks: "Sequence[HostCheck]") -> str:
    present = {str(check.status) for check in checks}
    return next((status for status in _WORST_FIRST if status in present), "ok")


def _mapping(checks: "Sequence[HostCheck]") -> dict[str, object]:
    """For ``-o json``. The format is stable, see docs/cli.md."""
    return {
        "apiVersion": API_VERSION,
        "kind": "DoctorReport",
        "status": _worst(checks),
        "checks": [
            {
                "name": check.name,
                "status": str(check.status),
                "id": None if check.id is None else str(check.id),
                "message": check.message,
                "remedy": list(check.remedy),
            }
            for check in checks
        ],
    }
