"""`python -m tests.fuzz [TARGET …]`: look for inputs that a decoder fails on, guided by coverage. Needs atheris."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

_INPUT_SECONDS = 20
"""An input that takes longer is a finding."""

_RESIDENT_MIB = 1024
"""Of the whole process. `test_fuzz` checks the bound of single inputs that are kept."""


def main() -> int:
    """Fuzz each target in a process of its own; the exit status is 1 if one has a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="names in tests/fuzz/targets.py; default: all")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    parser.add_argument("--findings", type=Path, default=Path("dist/fuzz"), help="directory for what is found")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options, libfuzzer = parser.parse_known_args()
    if options.worker:
        return _fuzz(options.targets[0], libfuzzer)
    from tests.fuzz.targets import TARGETS, kept  # noqa: PLC0415 - a worker instruments what it imports

    failed = []
    for name in options.targets or TARGETS:
        findings = options.findings / name
        findings.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as directory:
            for number, data in enumerate((*TARGETS[name].seeds, *(path.read_bytes() for path in kept(name)))):
                Path(directory, str(number)).write_bytes(data)
            limits = [f"-max_total_time={max(1, round(options.minutes * 60))}", f"-timeout={_INPUT_SECONDS}"]
            limits += [f"-rss_limit_mb={_RESIDENT_MIB}", f"-artifact_prefix={findings}/", "-max_len=65536"]
            command = [sys.executable, "-m", "tests.fuzz", "--worker", name, "-print_final_stats=1", *limits, directory]
            sys.stdout.write(f"{name}:\n")
            sys.stdout.flush()
            if subprocess.run(command, check=False).returncode:
                failed.append(name)
    if failed:
        places = ", ".join(str(options.findings / name) for name in failed)
        sys.stdout.write(f"found something: move it from {places} to the target's directory in tests/fuzz/corpus\n")
    return 1 if failed else 0


def _fuzz(name: str, libfuzzer: list[str]) -> int:
    import atheris  # noqa: PLC0415 - only the extra `fuzz` has it

    with atheris.instrument_imports(include=["dockerv6"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - same
    atheris.Setup([name, *libfuzzer], TARGETS[name].check)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
