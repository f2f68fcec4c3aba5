"""Plans as text, in the style of Terraform, and as JSON."""

from collections.abc import Iterable, Sequence

import click

from dockerv6.api.kinds import API_VERSION
from dockerv6.cli.printers.diagnostics import diagnostic_mapping
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import short_name
from dockerv6.planning.plan import Disruption, Plan
from dockerv6.planning.steps import Step
from dockerv6.source.model import Diagnostic

_COLOURS = {"+": "green", "-": "red", "~": "yellow"}


def changes(plans: Iterable[Plan]) -> dict[str, int]:
    """Number of steps that add, change and remove, and of containers that are disconnected for a moment."""
    everything = list(plans)
    symbols = [step.symbol for plan in everything for step in plan.steps]
    return {
        "add": symbols.count("+"),
        "change": len(symbols) - symbols.count("+") - symbols.count("-"),
        "remove": symbols.count("-"),
        "disconnects": sum(plan.disconnected for plan in everything),
    }


def plan_lines(plans: Sequence[Plan], *, invalid_files: bool = False) -> list[str]:
    """A paragraph per resource that has steps or findings, and the summary."""
    lines: list[str] = []
    for plan in plans:
        if plan.steps or plan.findings:
            lines += [*_resource(plan), ""]
    return [*lines, summary(plans, invalid_files=invalid_files)]


def summary(plans: Sequence[Plan], *, invalid_files: bool = False) -> str:
    """``Plan: 3 to add, 1 to change, 0 to remove; disconnects 2 containers``."""
    count = changes(plans)
    blocked = [short_name(plan.kind, plan.name) for plan in plans if plan.blocked is not None]
    if all(plan.empty for plan in plans):
        text = "No changes." + ("" if blocked or invalid_files else " The host matches the resources.")
    else:
        text = f"Plan: {count['add']} to add, {count['change']} to change, {count['remove']} to remove"
        text += f"; disconnects {_containers(count['disconnects'])}" if count["disconnects"] else ""
        text += "."
    return text + (f" Blocked: {', '.join(blocked)}." if blocked else "")


def plan_mapping(plans: Sequence[Plan], diagnostics: Iterable[Diagnostic]) -> dict[str, object]:
    """For ``-o json``. The format is stable, see docs/cli.md."""
    return {
        "apiVersion": API_VERSION,
        "kind": "PlanList",
        "summary": changes(plans),
        "plans": [plan.as_mapping() for plan in plans],
        "diagnostics": [diagnostic_mapping(diagnostic) for diagnostic in diagnostics],
    }


def _resource(plan: Plan) -> list[str]:
    label = "" if plan.disruption is Disruption.NONE else f" [{_disruption(plan)}]"
    lines = [f"{short_name(plan.kind, plan.name)}{label}"]
    lines += [f"  drift: {plain(drift)}" for drift in plan.drift]
    lines += [_step(step) for step in plan.steps]
    for finding in plan.findings:
        mark = click.style("!", fg="red") if finding.blocks else click.style("i", fg="yellow")
        lines.append(f"  {mark} {finding.condition} {finding.reason}: {plain(finding.message)}")
    return lines


def _step(step: Step) -> str:
    mark = step.symbol
    return f"  {click.style(mark, fg=_COLOURS.get(mark))} {plain(step.describe())}  # {plain(step.reason)}"


def _disruption(plan: Plan) -> str:
    if plan.disruption is Disruption.DISCONNECTS:
        return f"Disconnects {_containers(plan.disconnected)}"
    return str(plan.disruption)


def _containers(count: int) -> str:
    return "1 container" if count == 1 else f"{count} containers"
