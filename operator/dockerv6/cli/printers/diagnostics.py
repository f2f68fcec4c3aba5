"""Diagnostics of resource files and the result of ``validate``, as text and JSON."""

from collections.abc import Iterable
from dataclasses import dataclass

import click

from dockerv6.cli.printers.table import plain
from dockerv6.source.model import Diagnostic, Severity, Snapshot

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def diagnostic_line(diagnostic: Diagnostic) -> str:
    """``file:line:column: error: field: message; remedy``, the format of compilers that editors understand."""
    severity = click.style(str(diagnostic.severity), fg=_COLOURS[diagnostic.severity], bold=True)
    field = f"{diagnostic.field}: " if diagnostic.path else ""
    remedy = f"; {diagnostic.remedy}" if diagnostic.remedy else ""
    return f"{plain(str(diagnostic.position))}: {severity}: {plain(f'{field}{diagnostic.message}{remedy}')}"


def diagnostic_mapping(diagnostic: Diagnostic) -> dict[str, object]:
    """For ``-o json``. The format is stable, see docs/cli.md."""
    return {
        "file": diagnostic.position.file,
        "line": diagnostic.position.line,
        "column": diagnostic.position.column,
        "severity": str(diagnostic.severity),
        "field": diagnostic.field,
        "message": diagnostic.message,
        "remedy": diagnostic.remedy,
    }


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """The content of the validated files, and whether it is valid."""

    snapshot: Snapshot
    strict: bool = False  # warnings make it invalid too

    @property
    def errors(self) -> int:
        """Number of errors. A path that can't be read is one."""
        return _count(self.snapshot.diagnostics, Severity.ERROR)

    @property
    def warnings(self) -> int:
        """Number of warnings."""
        return _count(self.snapshot.diagnostics, Severity.WARNING)

    @property
    def valid(self) -> bool:
        """Whether the files are valid."""
        return not self.errors and not (self.strict and self.warnings)

    def summary(self) -> str:
        """``2 valid resources in 1 file; 0 errors, 1 warning``."""
        files = sum(root.files for root in self.snapshot.roots)
        resources = _plural(len(self.snapshot.resources), "valid resource")
        problems = ", ".join((_plural(self.errors, "error"), _plural(self.warnings, "warning")))
        return f"{resources} in {_plural(files, 'file')}; {problems}"

    def mapping(self) -> dict[str, object]:
        """For ``-o json``. The format is stable, see docs/cli.md."""
        return {
            "valid": self.valid,
            "errors": self.errors,
            "warnings": self.warnings,
            "resources": [
                {
                    "kind": str(sourced.resource.kind),
                    "name": sourced.resource.metadata.name,
                    "file": sourced.position.file,
                    "line": sourced.position.line,
                }
                for sourced in self.snapshot.resources
            ],
            "diagnostics": [diagnostic_mapping(diagnostic) for diagnostic in self.snapshot.diagnostics],
        }


def _count(diagnostics: Iterable[Diagnostic], severity: Severity) -> int:
    return sum(1 for diagnostic in diagnostics if diagnostic.severity is severity)


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
