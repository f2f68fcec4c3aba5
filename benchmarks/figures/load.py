"""Load and validate ten thousand resources: list, read, parse with positions, check every field, find duplicates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks import resources
from benchmarks.rows import Row
from dockerv6.lib.clock import SystemClock
from dockerv6.source.files import FileOwnership
from dockerv6.source.load import Loader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench

_BUDGET = 3.0


def measure(bench: Bench) -> Iterator[Row]:
    """Seconds by the distribution of resources to files."""
    total = 1_000 if bench.quick else 10_000
    for per_file in (1, 10, total):
        directory = bench.new_directory()
        _write(directory, total, per_file)
        seconds, again = _load(directory, total)
        files = total // per_file
        what = f"{total} resources in {files} file{'s' if files > 1 else ''}"
        budget = _BUDGET * total / 10_000
        yield Row(what, seconds, "s", budget, f"{again:.3f} s when nothing has changed since")


def _write(directory: Path, total: int, per_file: int) -> None:
    for first in range(0, total, per_file):
        documents = [_document(number) for number in range(first, min(first + per_file, total))]
        (directory / f"{first:05d}.yaml").write_text("---\n".join(documents))


def _document(number: int) -> str:
    """A typical resource; half of them set optional fields."""
    if number % 2:
        return resources.text(resources.network(number))
    spec = {
        "ipv4": {"subnet": resources.ipv4_subnet(number)},
        "labels": {"team": "web", "stage": "production"},
        "addressing": {"subnet": f"fd12:3456:789a:{number:x}::/64"},
        "egress": {"mode": "Masquerade"},
    }
    return "# written by hand\n" + resources.text(resources.resource(resources.name(number), spec))


def _load(directory: Path, total: int) -> tuple[float, float]:
    loader = Loader((str(directory),), clock=SystemClock(), ownership=FileOwnership.of_this_process(), settle=0)
    moments = [time.monotonic()]
    for _ in range(2):
        snapshot = loader.load()
        moments.append(time.monotonic())
        if len(snapshot.resources) != total or snapshot.diagnostics:
            raise RuntimeError(f"{len(snapshot.resources)} of {total} resources: {snapshot.diagnostics[:3]}")
    first, second, third = moments
    return second - first, third - second
