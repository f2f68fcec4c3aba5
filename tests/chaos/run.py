"""Apply faults, one after the other, each in an attempt of its own that can be repeated by its seed."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.faults import FAULTS, RANGES, Fault, damage_range, together
from tests.chaos.host import UNAVAILABLE, chaos_host
from tests.lab.cells import CELLS
from tests.lab.lab import EnginePool, Lab
from tests.lab.session import Session, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.host import ChaosHost

CELL = "28.5"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One fault and what came of it. `refused`: the operator's message when it did not start before the remedy."""

    fault: str
    seed: int
    done: str
    seconds: float
    problem: str = ""
    refused: str = ""

    @property
    def repeat(self) -> str:
        """The command that repeats it."""
        return f"python -m tests.chaos --faults {self.fault} --seed {self.seed} --attempts 1"


def attempt(host: ChaosHost, name: str, seed: int) -> Attempt:
    """Apply one fault, and wait until everything is as it was."""
    fault = _fault(name)
    rng = random.Random(f"{name} {seed}")
    host.refusals.clear()
    host.crashes.clear()
    host.take_log()
    started = time.monotonic()
    try:
        done = fault.apply(host, rng)
    except (AssertionError, *UNAVAILABLE) as error:
        done, problem = fault.title, f"{type(error).__name__}: {error}"
    else:
        problem = host.converge()
    if host.crashes:
        problem = "; ".join(["the operator ended by itself", *host.crashes, problem])
    host.remedy = None
    seconds = time.monotonic() - started
    return Attempt(name, seed, done, round(seconds, 1), problem, "; ".join(host.refusals))


def attempts(host: ChaosHost, names: list[str], seed: int) -> Iterator[Attempt]:
    """Attempt the faults in random order, each once in each round, for ever. Ends after an attempt with a problem."""
    rng = random.Random(seed)
    while True:
        for name in rng.sample(names, len(names)):
            made = attempt(host, name, seed)
            yield made
            if made.problem:
                return
            seed += 1


def names(expression: str) -> list[str]:
    """The faults of a list separated by commas; `all` has one for each range of the state file.

    `a+b` is an attempt with both faults, one after the other.

    Raises:
        ValueError: there is no such fault.
    """
    if expression == "all":
        ranges = [f"state-damaged-{number}" for number in range(RANGES)]
        return [name for name in FAULTS if name != "state-damaged"] + ranges
    chosen = expression.split(",")
    for name in chosen:
        _fault(name)
    return chosen


def title(name: str) -> str:
    """What a fault is, for the page."""
    return _fault(name).title


def _fault(name: str) -> Fault:
    if "+" in name:
        return together([_fault(each) for each in name.split("+")])
    start, _, number = name.rpartition("-")
    if name not in FAULTS and start == "state-damaged" and number.isdigit() and int(number) < RANGES:
        return damage_range(int(number))
    if name not in FAULTS:
        raise ValueError(f"no such fault: {name}; there are {', '.join(FAULTS)}, state-damaged-0 to -{RANGES - 1}, all")
    return FAULTS[name]


@contextmanager
def own_host(directory: Path, seed: int) -> Iterator[ChaosHost]:
    """Build a host with an engine of its own, for a run without pytest."""
    with ExitStack() as stack:
        sweep()
        session = Session.create()
        stack.callback(session.close)
        pool = EnginePool(session)
        stack.callback(pool.close)
        station = pool.acquire(CELLS[CELL].settings)
        lab = Lab(station.engine, station.neighbour, directory)
        yield stack.enter_context(chaos_host(lab, random.Random(seed)))
