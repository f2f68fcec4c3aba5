"""The results of a benchmark: rows with a value and, if the design has one, a budget; and their table."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        what: the measured quantity and the conditions.
        value: in `unit`.
        budget: the upper limit; None if the design has none and the row explains another one.
        note: further information, such as spread or sample size.
        floor: the lower limit, if more is better; instead of a budget.
    """

    what: str
    value: float
    unit: str
    budget: float | None = None
    note: str = ""
    floor: float | None = None

    @property
    def bound(self) -> str:
        """The budget as text; empty if there is none."""
        if self.floor is not None:
            return f"≥ {self.floor:g}"
        return "" if self.budget is None else f"≤ {self.budget:g}"

    @property
    def verdict(self) -> str:
        """`pass`, `MISS`, or empty if there is no budget."""
        if not self.bound:
            return ""
        kept = self.value >= self.floor if self.floor is not None else self.value <= (self.budget or 0)
        return "pass" if kept else "MISS"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def latencies(what: str, seconds: Sequence[float], *, p50: float | None = None, p99: float | None = None) -> list[Row]:
    """The rows of a latency, in ms; budgets in ms."""
    shown = [1000 * value for value in seconds]
    note = f"{len(shown)} samples, max {max(shown):.1f} ms"
    return [
        Row(f"{what}, p50", statistics.median(shown), "ms", p50, note),
        Row(f"{what}, p99", percentile(shown, 99), "ms", p99),
    ]


def table(title: str, rows: Iterable[Row]) -> str:
    """The rows as aligned text."""
    cells = [
        (
            row.what,
            _number(row.value),
            row.unit,
            row.bound,
            row.verdict,
            row.note,
        )
        for row in rows
    ]
    widths = [max((len(cell[column]) for cell in cells), default=0) for column in range(5)]
    lines = [title]
    for what, value, unit, budget, verdict, note in cells:
        left = f"  {what:<{widths[0]}}  {value:>{widths[1]}} {unit:<{widths[2]}}"
        lines.append(f"{left}  {budget:<{widths[3]}}  {verdict:<{widths[4]}}  {note}".rstrip())
    return "\n".join(lines)


def as_json(figure: str, row: Row) -> dict[str, object]:
    """A row as JSON."""
    return {"figure": figure, **asdict(row), "verdict": row.verdict}


def _number(value: float) -> str:
    if value == int(value):
        return str(int(value))
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"  # noqa: PLR2004 - about three significant digits
