"""All figures by name, in the order in which they run."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.rows import Row


class _Module(Protocol):
    def measure(self, bench: Bench) -> Iterator[Row]:
        """Measure, and yield rows as soon as they are known."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One module of `benchmarks.figures`, and its approximate duration."""

    name: str
    title: str
    seconds: int

    def measure(self, bench: Bench) -> Iterator[Row]:
        """Run it."""
        return cast("_Module", import_module(f"benchmarks.figures.{self.name}")).measure(bench)


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("load", "Load and validate", 15),
        Figure("cli", "Command line, cold start", 25),
        Figure("idle", "Daemon at rest", 90),
        Figure("restart", "Restart of the operator", 20),
        Figure("repair", "Drift to repair, seen by the kernel", 240),
        Figure("foreign", "A network that somebody else creates, to its rules", 50),
        Figure("adopt", "One policy for networks that are there", 35),
        Figure("ports", "Ports of one container, published at once", 50),
        Figure("renumber", "A prefix that changes", 100),
        Figure("neighbours", "Proxy neighbours of containers that start", 130),
        Figure("outage", "What a restart of the operator interrupts or opens", 45),
        Figure("resync", "Resync with nothing to do", 70),
        Figure("dataplane", "New flows through published ports", 160),
        Figure("egress", "New flows out of containers, by egress mode", 90),
        Figure("cold", "Cold convergence against the bare engine API", 300),
    )
}
