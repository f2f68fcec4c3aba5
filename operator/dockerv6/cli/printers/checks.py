"""The doctor's findings: one a line, with what to do below it; and the same for programs."""

from typing import TYPE_CHECKING

import click

from dockerv6.api.kinds import API_VERSION
from dockerv6.cli.printers.table import plain, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dockerv6.daemon.checks import HostCheck


_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_WORST = ("fail", "warn", "ok")


def text(checks: "Sequence[HostCheck]") -> list[str]:
    """``ok    kernel   6.1.0``; each step of a remedy has a line of its own, behind an arrow or its number."""
    wide = max((width(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        name = check.name + " " * (wide - width(check.name))
        lines.append(f"{click.style(f'{check.status:<4}', fg=_COLOURS[check.status])}  {name}  {plain(check.message)}")
        for number, step in enumerate(check.remedy, 1):
            arrow = f"{number}." if len(check.remedy) > 1 else "->"
            lines.append(f"{'':{wide + 8}}{arrow} {plain(step)}")
    return lines


def summary(checks: "Sequence[HostCheck]") -> str:
    """``16 checks: 14 ok, 2 warnings, 0 failures``."""
    count = {status: sum(check.status == status for check in checks) for status in _WORST}
    warnings = "1 warning" if count["warn"] == 1 else f"{count['warn']} warnings"
    failures = "1 failure" if count["fail"] == 1 else f"{count['fail']} failures"
    return f"{len(checks)} checks: {count['ok']} ok, {warnings}, {failures}"


def worst(checks: "Sequence[HostCheck]") -> str:
    """The whole host's status."""
    present = {str(check.status) for check in checks}
    return next((status for status in _WORST if status in present), "ok")


def mapping(checks: "Sequence[HostCheck]") -> dict[str, object]:
    """For ``-o json``; stable, see docs/cli.md."""
    return {
        "apiVersion": API_VERSION,
        "kind": "DoctorReport",
        "status": worst(checks),
        "checks": [
            {"name": check.name, "status": str(check.status), "message": check.message, "remedy": list(check.remedy)}
            for check in checks
        ],
    }
