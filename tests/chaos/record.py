"""The results of the last long runs, in docs/reliability, from which docs/reliability.md is generated."""

from __future__ import annotations

import json
import platform
import sqlite3
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from tests.lab.process import kernel_version

DIRECTORY = Path(__file__).parents[2] / "docs" / "reliability"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """When and with what a run was made. `date` is in UTC."""

    date: str
    engine: str
    dockerv6: str = field(default_factory=lambda: version("dockerv6"))
    kernel: str = field(default_factory=kernel_version)
    python: str = field(default_factory=platform.python_version)
    sqlite: str = sqlite3.sqlite_version

    @classmethod
    def now(cls, engine: str) -> Circumstances:
        """Those of a run that begins now, with an engine of that version."""
        return cls(datetime.now(UTC).isoformat(timespec="minutes"), engine)


@dataclass(slots=True)
class FaultCount:
    """How often a fault was applied, and how often everything was as before afterwards, without help or with it."""

    title: str
    attempts: int = 0
    survivals: int = 0
    refused: int = 0  # the operator named the cause and a remedy instead of starting, and the remedy worked


@dataclass(slots=True)
class ChaosRecord:
    """A run of chaos: its faults by name, and its problems with the commands that repeat them."""

    circumstances: Circumstances
    minutes: float = 0.0
    faults: dict[str, FaultCount] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Growth:
    """The medians of a measure in the second and the last quarter of a run."""

    unit: str
    before: float
    after: float
    flat: bool


@dataclass(slots=True)
class SoakRecord:
    """A run of churn: how often each operation was made, and the growth of each measure."""

    circumstances: Circumstances
    minutes: float
    operations: dict[str, int]
    growth: dict[str, Growth]


RecordT = TypeVar("RecordT", ChaosRecord, SoakRecord)


def write(record: ChaosRecord | SoakRecord) -> Path:
    """Replace the record of the last run of this kind."""
    DIRECTORY.mkdir(exist_ok=True)
    path = _path(type(record))
    path.write_text(json.dumps(asdict(record), indent=1) + "\n")
    return path


def read(kind: type[RecordT]) -> RecordT:
    """Read the record of the last run of a kind."""
    content: dict[str, Any] = json.loads(_path(kind).read_text())
    content["circumstances"] = Circumstances(**content["circumstances"])
    for key, made in (("faults", FaultCount), ("growth", Growth)):
        if key in content:
            content[key] = {name: made(**each) for name, each in content[key].items()}
    return kind(**content)


def _path(kind: type[ChaosRecord | SoakRecord]) -> Path:
    return DIRECTORY / {ChaosRecord: "chaos.json", SoakRecord: "soak.json"}[kind]
