"""Write docs/engines.md: the behaviour of engines, and the results of the last runs of the matrix, by cell.

`make test-matrix` and `make engines` run it. It reads the records in docs/engines. A run replaces only the records of
its own cells.
"""  # noqa: INP001

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.matrix.record import PASSED, CellRecord
from tests.lab.cells import CELLS, LINES, MATRIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DOCS = Path(__file__).parents[1] / "docs"
_PREFACE = Path(__file__).with_name("engines_preface.md")


def page(records: Mapping[str, CellRecord]) -> str:
    """The page, from the records by cell name."""
    return "\n".join([_PREFACE.read_text(), *_cells(records), "", *_promises(records)])


def _last_full_run(records: Mapping[str, CellRecord]) -> str | None:
    """The newest run that included all cells."""
    full = [record for record in records.values() if record.full]
    return max(full, key=lambda record: (record.date, record.run)).run if full else None


def _cells(records: Mapping[str, CellRecord]) -> Iterator[str]:
    full = _last_full_run(records)
    yield "| cell | engine | scenarios that passed | run |"
    yield "|---|---|---|---|"
    for name in MATRIX:
        record = records.get(name)
        if record is None:
            yield f"| `{name}` | | **not run** | |"
            continue
        failed = len(record.failures)
        result = f"**{record.size - failed} of {record.size}**" if failed else f"all {record.size}"
        when = record.date[:10] if record.run == full else f"{record.date[:10]}, not in the last full run"
        yield f"| `{name}` | {record.engine} | {result} | {when} |"
    kernels = sorted({record.kernel for record in records.values()})
    yield ""
    yield f"Kernel: {', '.join(kernels) or 'none yet'}."


def _promises(records: Mapping[str, CellRecord]) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for record in records.values():
        for topic, promises in record.topics.items():
            known = found.setdefault(topic, [])
            known += [name for name in promises if name not in known]
    for topic, names in found.items():
        yield f"### {topic}"
        yield ""
        yield f"| behaviour | {' | '.join(LINES)} |"
        yield f"|---|{'---|' * len(LINES)}"
        for name in names:
            yield f"| {name} | {' | '.join(_of_line(records, line, topic, name) for line in LINES)} |"
        yield ""


def _of_line(records: Mapping[str, CellRecord], line: str, topic: str, name: str) -> str:
    """The results of one scenario in the cells of one engine: how many passed, and which failed."""
    outcomes = {
        cell: records[cell].topics.get(topic, {}).get(name)
        for cell in MATRIX
        if CELLS[cell].line == line and cell in records
    }
    ran = {cell: outcome for cell, outcome in outcomes.items() if outcome is not None}
    failed = [cell.removeprefix(f"{line}-") for cell, outcome in ran.items() if outcome != PASSED]
    if not ran:
        return "not run"
    if failed:
        return f"**fails: {', '.join(failed)}**"
    return f"{len(ran)}/{sum(CELLS[cell].line == line for cell in MATRIX)}"


def main() -> None:
    """Write the page, to the path in the first argument if there is one."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else _DOCS / "engines.md"
    target.write_text(page({record.cell: record for record in CellRecord.read(_DOCS / "engines")}).rstrip() + "\n")


if __name__ == "__main__":
    main()
