"""Deterministic simulation of the whole operator: ``python -m tests.simulation --seeds 300``."""

import argparse
import os
import sys

from tests.simulation.history import HAZARDS, history
from tests.simulation.run import failures, run, shrink

LONGEST, MOST = 400, 12
"""Characters of a line, and lines, that are printed about a seed."""

HASH_SEED = "0"
"""The order of sets of strings depends on it."""


def main() -> int:
    """Run histories; print each that fails, with the command that repeats it."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="how many (default: 1)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed (default: 0)")
    parser.add_argument(
        "--hazards",
        default="",
        help=f"comma-separated; of {', '.join(HAZARDS)} (default: all)",
    )
    parser.add_argument("--show", action="store_true", help="print what happens")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED}
        command = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, command, environment)  # noqa: S606 - there is no shell

    enabled = tuple(options.hazards.split(",") if options.hazards else HAZARDS)
    failed = 0
    for seed in range(options.first, options.first + options.seeds):
        actions = history(seed, enabled)
        if options.show:
            print(*run(seed, actions).trace, sep="\n")
        try:
            found = failures(seed, actions)
        except Exception as error:  # noqa: BLE001 - the next seeds run nevertheless
            found = [f"the simulation itself failed: {error!r}"]
        if found:
            failed += 1
            hazards = f" --hazards {options.hazards}" if options.hazards else ""
            print(f"seed {seed} fails; repeat it with: python -m tests.simulation --from {seed}{hazards}", flush=True)
            print(*(f"  {line[:LONGEST]}" for line in found[:MOST]), sep="\n")
            if options.seeds == 1:
                print("  in the history", *(f"    {a}" for a in shrink(seed, actions)), sep="\n")
    print(f"{options.seeds - failed} of {options.seeds} seeds passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
