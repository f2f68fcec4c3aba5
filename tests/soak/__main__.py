"""`python -m tests.soak`: churn for an hour, and fail if the daemon's use of anything grows. Needs root."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.chaos import record
from tests.lab.cells import CELLS
from tests.lab.lab import Lab, Station
from tests.lab.session import Session, sweep
from tests.soak.churn import Churn
from tests.soak.measure import MEASURES

_CELL = "28.5"
_INTERVAL = 2.0


def main() -> int:
    """Run; the exit status is 1 if something grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="write the results to docs/reliability")
    options = parser.parse_args()
    with ExitStack() as stack:
        sweep()
        session = Session.create()
        stack.callback(session.close)
        station = Station.build(session, CELLS[_CELL].settings)
        stack.callback(station.remove)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab = Lab(station.engine, station.neighbour, directory)
        stack.callback(lab.close)
        result = _soak(lab, options.minutes, random.Random(options.seed))
    for name, growth in result.growth.items():
        text = f"{growth.before:g} -> {growth.after:g} {growth.unit}"
        sys.stdout.write(f"{'ok    ' if growth.flat else 'GROWS '} {name}: {text}\n")
    sys.stdout.write(f"{result.minutes} minutes: {result.operations}\n")
    if options.record:
        sys.stdout.write(f"written: {record.write(result)}\n")
    return 0 if all(growth.flat for growth in result.growth.values()) else 1


def _soak(lab: Lab, minutes: float, rng: random.Random) -> record.SoakRecord:
    circumstances = record.Circumstances.now(_CELL)
    operator = lab.operator()
    operator.start()
    pid = operator.pid
    churn = Churn(lab, operator, rng)
    samples: dict[str, list[float]] = {name: [] for name in MEASURES}
    begun = time.monotonic()
    sampled = begun
    while (now := time.monotonic()) < begun + minutes * 60:
        churn.step()
        if now - sampled > _INTERVAL:
            sampled = now
            for name, measure in MEASURES.items():
                samples[name].append(measure.take(operator.pid, operator.state_dir))
    churn.settle()
    assert operator.pid == pid, "the daemon runs without a restart"
    growth = {name: measure.judge(samples[name]) for name, measure in MEASURES.items()}
    return record.SoakRecord(circumstances, round(minutes, 1), dict(churn.counts), growth)


if __name__ == "__main__":
    sys.exit(main())
