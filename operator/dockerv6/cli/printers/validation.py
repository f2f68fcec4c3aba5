"""The outcome of ``validate``: findings, the summary, and the same for programs."""

from dataclasses import dataclass

from dockerv6.cli.printers.diagnostics import as_mapping as diagnostic_mapping
from dockerv6.cli.printers.diagnostics import count, plural
from dockerv6.source.model import Diagnostic, Severity, Snapshot


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was read, and whether it passes."""

    snapshot: Snapshot
    strict: bool = False  # warnings fail, too

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Every finding, in order of position."""
        return self.snapshot.diagnostics

    @property
    def errors(self) -> int:
        """How many errors there are; a path that can't be read is one."""
        return count(self.diagnostics, Severity.ERROR)

    @property
    def warnings(self) -> int:
        """How many warnings there are."""
        return count(self.diagnostics, Severity.WARNING)

    @property
    def valid(self) -> bool:
        """Whether it passes."""
        return not self.errors and not (self.strict and self.warnings)


def summary(verdict: Verdict) -> str:
    """One line."""
    snapshot = verdict.snapshot
    files = sum(root.files for root in snapshot.roots)
    accepted = plural(len(snapshot.resources), "valid resource")
    findings = ", ".join((plural(verdict.errors, "error"), plural(verdict.warnings, "warning")))
    return f"{accepted} in {plural(files, 'file')}; {findings}"


def as_mapping(verdict: Verdict) -> dict[str, object]:
    """For ``-o json``; stable, see docs/cli.md."""
    return {
        "valid": verdict.valid,
        "errors": verdict.errors,
        "warnings": verdict.warnings,
        "resources": [
            {
                "kind": str(sourced.resource.kind),
                "name": sourced.resource.metadata.name,
                "file": sourced.position.file,
                "line": sourced.position.line,
            }
            for sourced in verdict.snapshot.resources
        ],
        "diagnostics": [diagnostic_mapping(diagnostic) for diagnostic in verdict.diagnostics],
    }
