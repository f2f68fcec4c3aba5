"""Plans as text, in the style of Terraform, and as JSON."""

from collections.abc import Callable, Iterable, Sequence

import click

from dockerv6.api.kinds import API_VERSION
from dockerv6.cli.printers.diagnostics import diagnostic_mapping
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import short_name
from dockerv6.planning.plan import Change, Disruption, Finding, Plan
from dockerv6.planning.saved_plan import known_before
from dockerv6.planning.steps import RemoveNetwork, Step
from dockerv6.source.model import Diagnostic

_COLOURS = {"+": "green", "-": "red", "~": "yellow", "-/+": "red"}


def changes(plans: Iterable[Plan]) -> dict[str, int]:
    """Number of resources by what happens to them, and of containers that are disconnected for a moment.

    What is removed without a resource counts by its Docker networks.
    """
    everything = list(plans)
    count = dict.fromkeys(Change, 0)
    for plan in everything:
        removed = sum(isinstance(step, RemoveNetwork) for step in plan.steps)
        count[plan.change] += max(1, removed) if plan.change is Change.REMOVE else 1
    return {
        "add": count[Change.ADD],
        "change": count[Change.CHANGE],
        "replace": count[Change.REPLACE],
        "remove": count[Change.REMOVE],
        "disconnects": sum(plan.disconnected for plan in everything),
    }


def plan_lines(plans: Sequence[Plan], *, invalid_files: bool = False) -> list[str]:
    """A paragraph per resource that has steps or findings, and the summary."""
    known = known_before(plans)
    lines: list[str] = []
    for plan in plans:
        if plan.steps or plan.findings:
            lines += [*(known(line) for line in _resource(plan)), ""]
    return [*lines, summary(plans, invalid_files=invalid_files)]


def summary(plans: Sequence[Plan], *, invalid_files: bool = False) -> str:
    """``Plan: 3 to add, 1 to change, 0 to replace, 0 to remove.``, and what needs a person."""
    count = changes(plans)
    remarks = {
        "Blocked": _named(plans, lambda plan: plan.obstacles),
        "Warnings": _named(plans, lambda plan: plan.warnings),
        "Suspended": ", ".join(short_name(plan.kind, plan.name) for plan in plans if plan.suspended),
    }
    if all(plan.empty for plan in plans):
        text = "No changes." + ("" if any(remarks.values()) or invalid_files else " The host matches the resources.")
    else:
        text = "Plan: " + ", ".join(f"{count[what]} to {what}" for what in ("add", "change", "replace", "remove"))
        text += f"; disconnects {_containers(count['disconnects'])}" if count["disconnects"] else ""
        text += "."
    return " ".join((text, *(f"{what}: {names}." for what, names in remarks.items() if names)))


def plan_mapping(plans: Sequence[Plan], diagnostics: Iterable[Diagnostic]) -> dict[str, object]:
    """For ``-o json``. The format is stable, see docs/cli.md."""
    known = known_before(plans)
    return {
        "apiVersion": API_VERSION,
        "kind": "PlanList",
        "summary": changes(plans),
        "plans": [_mapped(plan.as_mapping(), known) for plan in plans],
        "diagnostics": [diagnostic_mapping(diagnostic) for diagnostic in diagnostics],
    }


def _named(plans: Iterable[Plan], findings: Callable[[Plan], Iterable[Finding]]) -> str:
    """``ipv6network/blog (MTUMismatch)``: the resources that have such findings, with the reasons."""
    found = {short_name(p.kind, p.name): dict.fromkeys(str(f.reason) for f in findings(p)) for p in plans}
    return ", ".join(f"{name} ({', '.join(reasons)})" for name, reasons in found.items() if reasons)


def _mapped(value: object, known: Callable[[str], str]) -> object:
    """The value with every text in it replaced by what is known of it."""
    if isinstance(value, dict):
        return {key: _mapped(each, known) for key, each in value.items()}
    if isinstance(value, list):
        return [_mapped(each, known) for each in value]
    return known(value) if isinstance(value, str) else value


def _resource(plan: Plan) -> list[str]:
    label = "" if plan.disruption is Disruption.NONE else f" [{_disruption(plan)}]"
    mark = f"{_symbol(plan.change)} " if plan.steps else ""
    lines = [f"{mark}{short_name(plan.kind, plan.name)}{label}"]
    lines += [f"  drift: {plain(str(drift))}" for drift in plan.drift]
    lines += [_step(step) for step in plan.steps]
    for finding in plan.findings:
        mark = click.style("!", fg="red") if finding.prevents_ready else click.style("i", fg="yellow")
        lines.append(f"  {mark} {finding.condition} {finding.reason}: {plain(finding.message)}")
    return lines


def _step(step: Step) -> str:
    return f"  {_symbol(step.symbol)} {plain(step.describe())}  # {plain(step.reason)}"


def _symbol(symbol: str) -> str:
    return click.style(symbol, fg=_COLOURS.get(symbol))


def _disruption(plan: Plan) -> str:
    if plan.disruption is Disruption.DISCONNECTS:
        return f"Disconnects {_containers(plan.disconnected)}"
    return str(plan.disruption)


def _containers(count: int) -> str:
    return "1 container" if count == 1 else f"{count} containers"
