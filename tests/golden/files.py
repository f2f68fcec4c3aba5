"""Comparison with golden files. ``DOCKERV6_UPDATE_GOLDEN=1`` rewrites them; review the difference before you commit."""

import os
from collections.abc import Iterable
from pathlib import Path

UPDATE = "DOCKERV6_UPDATE_GOLDEN"
GOLDEN = Path(__file__).parent


def check(path: Path, text: str) -> None:
    """Assert that the file contains the text, or write it to the file."""
    if os.environ.get(UPDATE):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs: if the change is intended, run the test with {UPDATE}=1"


def lines_of(lines: Iterable[str]) -> str:
    """The text of a file with these lines."""
    return "".join(f"{line}\n" for line in lines)
