"""Tables as kubectl prints them: upper-case headings, three spaces between columns, ages such as ``3h``.

Not tabulate: its import takes half as long as the rest of ``get``, and a watched table must keep its column widths.
"""

from collections.abc import Iterable, Sequence
from math import floor
from unicodedata import category, east_asian_width

import click

from dockerv6.lib.text import escaped

GAP = "   "

_COLOURS = {
    "False": "red",
    "Unknown": "yellow",
    "Warning": "yellow",
    "<deleted>": "red",
}
"""Cells that need attention. click removes the colour when the output is not a terminal."""

_MINUTE = 60
_HOUR = 3600
_DAY = 86400
_YEAR = 365 * _DAY


class TextTable:
    """Prints rows below headings. Later rows are aligned with earlier ones where they fit."""

    def __init__(
        self,
        headings: Sequence[str],
        *,
        coloured: Iterable[str] = ("READY", "STATUS", "TYPE"),
        shown: bool = True,
        exact: bool = False,
    ) -> None:
        """Start a table. Cells of the columns named ``coloured`` may be coloured.

        The headings are in capitals, unless they are ``exact``, and may be left out.
        """
        self._headings = list(headings) if exact else [heading.upper() for heading in headings]
        self._widths = [width(heading) if shown else 0 for heading in self._headings]
        self._coloured = [heading in set(coloured) for heading in self._headings]
        self._started = not shown

    def lines(self, rows: Iterable[Sequence[str]]) -> list[str]:
        """The lines of these rows, the first time below the headings."""
        cells = [[plain(text) for text in row] for row in rows]
        for row in cells:
            self._widths = [max(pair) for pair in zip(self._widths, map(width, row), strict=True)]
        result = [] if self._started else [self._line(self._headings, heading=True)]
        self._started = True
        return result + [self._line(row) for row in cells]

    def _line(self, row: Sequence[str], *, heading: bool = False) -> str:
        parts = []
        for text, columns, coloured in zip(row, self._widths, self._coloured, strict=True):
            colour = _COLOURS.get(text) if coloured and not heading else None
            parts.append((click.style(text, fg=colour) if colour else text) + " " * (columns - width(text)))
        return GAP.join(parts).rstrip()


def plain(text: str) -> str:
    """The text on one line, with escapes in place of characters that could change the terminal's state."""
    return escaped(text.replace("\n", " ").replace("\t", " "))


def width(text: str) -> int:
    """Terminal columns of a text (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(0 if category(c) in ("Mn", "Me") else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def age(seconds: float) -> str:
    """A duration as kubectl prints it: two units when it is short (``9m5s``), one when it is long (``3h``, ``15d``).

    The limits are those of HumanDuration in k8s.io/apimachinery/pkg/util/duration.
    """
    span = max(0, floor(seconds))
    for limit, large, small in _AGE_FORMATS:
        if span < limit:
            return _in_units(span, large, small)
    return _in_units(span, _YEAR, None)


_AGE_FORMATS: tuple[tuple[int, int, int | None], ...] = (
    (2 * _MINUTE, 1, None),
    (10 * _MINUTE, _MINUTE, 1),
    (3 * _HOUR, _MINUTE, None),
    (8 * _HOUR, _HOUR, _MINUTE),
    (2 * _DAY, _HOUR, None),
    (8 * _DAY, _DAY, _HOUR),
    (2 * _YEAR, _DAY, None),
    (8 * _YEAR, _YEAR, _DAY),
)
"""Upper limit, the first unit, and the second unit if there is one."""

_UNITS = {1: "s", _MINUTE: "m", _HOUR: "h", _DAY: "d", _YEAR: "y"}


def _in_units(span: int, large: int, small: int | None) -> str:
    text = f"{span // large}{_UNITS[large]}"
    rest = span % large // small if small else 0
    return f"{text}{rest}{_UNITS[small]}" if small and rest else text
