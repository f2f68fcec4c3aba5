"""The results of a test run of the matrix: one JSON file for each cell, from which docs/engines.md is generated.

A run replaces only the files of its own cells. With pytest-xdist, all scenarios of a cell run in one process, which
writes the file.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from tests.lab.cells import Cell
from tests.lab.process import kernel_version

PASSED = "passed"


@dataclass(slots=True)
class CellRecord:
    """The outcome of every scenario in one cell: `passed`, or else the phase that failed (`setup`, `call`, `teardown`).

    Outcomes are grouped by topic (the docstring of the scenarios' module) and promise, in the order of the run. `run`
    is the same for all cells of one test run; `full` is true if the run included all cells. `date` is in UTC.
    """

    cell: str
    engine: str
    kernel: str
    run: str
    full: bool
    date: str
    topics: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> Iterator[CellRecord]:
        """Yield the records of a directory."""
        for path in sorted(directory.glob("*.json")):
            yield cls(**json.loads(path.read_text()))

    @property
    def failures(self) -> list[str]:
        """The promises that failed."""
        return [name for promises in self.topics.values() for name, outcome in promises.items() if outcome != PASSED]

    @property
    def size(self) -> int:
        """How many scenarios ran."""
        return sum(len(promises) for promises in self.topics.values())

    def write(self, directory: Path) -> None:
        """Write the record, replacing the cell's previous one."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{self.cell}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


class Recorder:
    """Collects the reports of a test process."""

    def __init__(self, directory: Path, run: str, *, full: bool) -> None:
        self._directory = directory
        self._run = run
        self._full = full
        self._records: dict[str, CellRecord] = {}

    @classmethod
    def of(cls, config: pytest.Config, directory: Path) -> Recorder:
        """Create the recorder of a test process."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        # the same in all processes of a run with xdist
        run = str(getattr(config, "workerinput", {}).get("testrunuid", started))
        return cls(directory, run, full=config.getoption("--cells") == "all")

    def take(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Record the report of one phase of one scenario."""
        cell: Cell = item.callspec.params["cell"]  # type: ignore[attr-defined]
        record = self._records.get(cell.name)
        if record is None:
            date = datetime.now(UTC).isoformat(timespec="minutes")
            record = CellRecord(cell.name, "", kernel_version(), self._run, self._full, date)
            self._records[cell.name] = record
        if world := item.funcargs.get("world"):  # type: ignore[attr-defined]
            record.engine = record.engine or world.version
        topic = record.topics.setdefault(" ".join((item.module.__doc__ or "").split()), {})  # type: ignore[attr-defined]
        name = promise(item.originalname, item.callspec.id, cell.name)  # type: ignore[attr-defined]
        if report.failed:
            topic[name] = report.when
        else:
            topic.setdefault(name, PASSED)

    def write(self) -> None:
        """Write the records of all cells with results."""
        for record in self._records.values():
            record.write(self._directory)


def promise(function: str, parameters: str, cell: str) -> str:
    """The promise in a test's name, followed by its parameters without the cell."""
    words = re.sub(r"^test_", "", function).replace("_", " ")
    others = re.sub(rf"^{re.escape(cell)}-|-?{re.escape(cell)}$", "", parameters)
    return f"{words} ({others})" if others else words
