"""Plain tables as kubectl has them: upper-case headings, three spaces between columns, no lines.

Laid out here rather than by tabulate: that one's import takes half as long again as all the rest of ``get``, and a
watched table must keep the widths that it began with.
"""

from collections.abc import Iterable, Sequence
from unicodedata import category, east_asian_width

import click

GAP = "   "

_COLOURS = {
    "False": "red",
    "Unknown": "yellow",
    "Warning": "yellow",
    "<deleted>": "red",
}
"""Cells that call for a person's eye. Colour goes away by itself where the output is no terminal."""


class Table:
    """Prints rows under headings; later rows line up with the earlier ones where they can."""

    def __init__(self, headings: Sequence[str], *, coloured: Iterable[str] = ("READY", "STATUS", "TYPE")) -> None:
        """With these headings; cells of the columns named ``coloured`` may be coloured."""
        self._headings = [heading.upper() for heading in headings]
        self._widths = [width(heading) for heading in self._headings]
        self._coloured = [heading in set(coloured) for heading in self._headings]
        self._begun = False

    def lines(self, rows: Iterable[Sequence[str]]) -> list[str]:
        """The rows as lines, after the headings where these have not been given yet."""
        cells = [[plain(text) for text in row] for row in rows]
        for row in cells:
            self._widths = [max(pair) for pair in zip(self._widths, map(width, row), strict=True)]
        result = [] if self._begun else [self._line(self._headings, plainly=True)]
        self._begun = True
        return result + [self._line(row) for row in cells]

    def _line(self, row: Sequence[str], *, plainly: bool = False) -> str:
        parts = []
        for text, wide, coloured in zip(row, self._widths, self._coloured, strict=True):
            colour = _COLOURS.get(text) if coloured and not plainly else None
            parts.append((click.style(text, fg=colour) if colour else text) + " " * (wide - width(text)))
        return GAP.join(parts).rstrip()


def plain(text: str) -> str:
    """On one line and without control characters: what a file says must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(" " if c in "\n\t" else c for c in text if c in "\n\t" or not category(c).startswith("C"))


def width(text: str) -> int:
    """Terminal columns that a text takes (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(0 if category(c) in ("Mn", "Me") else 2 if east_asian_width(c) in "WF" else 1 for c in text)
