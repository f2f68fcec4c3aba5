"""`python -m tests.chaos`: apply faults to an operator with a real engine for some minutes. Needs root."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos import record, run


def main() -> int:
    """Run; the exit status is 1 if an attempt had a problem."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--attempts", type=int, default=sys.maxsize, help="end after so many attempts")
    parser.add_argument("--seed", type=int, default=None, help="of the first attempt; default: random")
    parser.add_argument("--faults", default="all", help="names separated by commas, or all")
    parser.add_argument("--record", action="store_true", help="write the results to docs/reliability")
    options = parser.parse_args()
    seed = random.randrange(1 << 30) if options.seed is None else options.seed
    begun = time.monotonic()
    end = begun + options.minutes * 60
    result = record.ChaosRecord(record.Circumstances.now(run.CELL))
    count = 0
    while count < options.attempts and time.monotonic() < end:
        # a new host after an attempt with a problem, so that it does not spoil the next ones
        with tempfile.TemporaryDirectory() as directory, run.own_host(Path(directory), seed) as host:
            for made in run.attempts(host, run.names(options.faults), seed):
                count, seed = count + 1, made.seed + 1
                _count(result, made)
                if made.problem:
                    sys.stdout.write(f"{host.operator.log_tail()}\n")
                if count >= options.attempts or time.monotonic() > end:
                    break
    result.minutes = round((time.monotonic() - begun) / 60, 1)
    if options.record:
        sys.stdout.write(f"written: {record.write(result)}\n")
    sys.stdout.write(f"{count} attempts, {len(result.problems)} with problems\n")
    return 1 if result.problems else 0


def _count(result: record.ChaosRecord, made: run.Attempt) -> None:
    counted = result.faults.setdefault(made.fault, record.FaultCount(run.title(made.fault)))
    counted.attempts += 1
    counted.survivals += not made.problem
    counted.refused += bool(made.refused) and not made.problem
    outcome = f"PROBLEM {made.problem}; repeat with `{made.repeat}`" if made.problem else "converged"
    if made.problem:
        result.problems.append(f"{made.done}: {made.problem}; `{made.repeat}`")
    refused = f" after it refused to start: {made.refused}" if made.refused else ""
    sys.stdout.write(f"{made.fault} (seed {made.seed}): {made.done}: {outcome}{refused}, {made.seconds} s\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
