"""`python -m benchmarks [FIGURE…] [--quick] [--json FILE]`: measure, and print the figures with their budgets."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.registry import FIGURES
from benchmarks.rows import Row, as_json, table
from tests.lab.session import Session, sweep


def main() -> int:
    """Run the figures; return 1 if one could not be measured. A missed budget is not an error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    listed = "; ".join(f"{f.name}: {f.title}, about {f.seconds} s" for f in FIGURES.values())
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"default all. {listed}")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: to see that it works, not to compare")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON too")
    options = parser.parse_args()
    if unknown := [name for name in options.figures if name not in FIGURES]:
        parser.error(f"no such figure: {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    sweep()
    session = Session.create()
    failed = False
    found: list[dict[str, object]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="dockerv6-bench-") as directory:
            _keep_compiled(Path(directory, "compiled"))
            bench = Bench(session, Path(directory), quick=options.quick)
            for name in options.figures or FIGURES:
                rows = _run(name, bench)
                failed = failed or rows is None
                found += [as_json(name, row) for row in rows or ()]
    finally:
        session.close()
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    missed = [f"{row['figure']}: {row['what']}" for row in found if row["verdict"] == "MISS"]
    print("\n".join(["", f"{len(missed)} budgets missed", *(f"  {what}" for what in missed)]))
    return int(failed)


def _keep_compiled(directory: Path) -> None:
    """Compile the modules of all programs of the run, as in an installed package."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(directory)
    subprocess.run([sys.executable, "-c", "import dockerv6.cli.main, dockerv6.daemon.process"], check=True)


def _run(name: str, bench: Bench) -> list[Row] | None:
    """Measure one figure and print it; None after a failure, so that the other figures still run."""
    figure = FIGURES[name]
    started = time.monotonic()
    print(f"… {figure.title}", file=sys.stderr, flush=True)
    try:
        rows = list(figure.measure(bench))
    except Exception:  # noqa: BLE001 - reported, and the run continues
        traceback.print_exc()
        return None
    print(table(f"{figure.title} ({name}, {time.monotonic() - started:.0f} s)", rows), flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
