"""Check what is about to be committed: the whitespace and size of files, and the form of the commit message.

The pre-commit hooks run it: `python -m scripts.hygiene files FILE…` and `python -m scripts.hygiene message FILE`.
"""  # noqa: INP001

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 500_000
_SUBJECT = 100
_CONFLICT = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
# recorded program output is kept byte for byte
_RECORDED = ("tests/golden/", "tests/unit/firewall/hostfilter/listings/")


def problems_of_file(path: str) -> Iterator[str]:
    """Yield what is wrong with a file's form."""
    content = Path(path).read_bytes()
    if len(content) > _LARGEST:
        yield f"{path}: {len(content)} bytes; the limit is {_LARGEST}"
    text = content.decode(errors="replace")
    if _CONFLICT.search(text):
        yield f"{path}: a conflict marker"
    if path.startswith(_RECORDED):
        return
    if _TRAILING.search(text):
        yield f"{path}: trailing whitespace"
    if text and not text.endswith("\n"):
        yield f"{path}: no newline at the end"


def problems_of_message(text: str) -> Iterator[str]:
    """Yield what is wrong with a commit message: its subject line, and the empty line after it."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    subject = lines[0] if lines else ""
    if not subject.strip():
        yield "the message has no subject line"
        return
    if len(subject) > _SUBJECT:
        yield f"the subject line has {len(subject)} characters; the limit is {_SUBJECT}"
    if subject.endswith("."):
        yield "the subject line ends with a period"
    if not subject[0].isupper():
        yield "the subject line does not begin with a capital letter"
    if len(lines) > 1 and lines[1].strip():
        yield "the second line is not empty"


def main() -> None:
    """Print the problems and exit with status 1 if there are any."""
    kind, *paths = sys.argv[1:]
    if kind == "message":
        problems = list(problems_of_message(Path(paths[0]).read_text()))
    else:
        problems = [problem for path in paths for problem in problems_of_file(path)]
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
