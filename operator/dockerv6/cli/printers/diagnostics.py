"""What is wrong in the sources, as text and for programs."""

from collections.abc import Iterable

import click

from dockerv6.cli.printers.table import plain
from dockerv6.source.model import Diagnostic, Severity

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def line(diagnostic: Diagnostic) -> str:
    """``file:line:column: error: field: message; remedy``, as compilers write it and editors read it."""
    severity = click.style(str(diagnostic.severity), fg=_COLOURS[diagnostic.severity], bold=True)
    field = f"{diagnostic.field}: " if diagnostic.field else ""
    remedy = f"; {diagnostic.remedy}" if diagnostic.remedy else ""
    return f"{plain(str(diagnostic.position))}: {severity}: {plain(f'{field}{diagnostic.message}{remedy}')}"


def as_mapping(diagnostic: Diagnostic) -> dict[str, object]:
    """For ``-o json``; stable, see docs/cli.md."""
    return {
        "file": diagnostic.position.file,
        "line": diagnostic.position.line,
        "column": diagnostic.position.column,
        "severity": str(diagnostic.severity),
        "field": diagnostic.field,
        "message": diagnostic.message,
        "remedy": diagnostic.remedy,
    }


def count(diagnostics: Iterable[Diagnostic], severity: Severity) -> int:
    """How many are of that severity."""
    return sum(1 for diagnostic in diagnostics if diagnostic.severity is severity)


def plural(number: int, word: str) -> str:
    """``1 error``, ``2 errors``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
