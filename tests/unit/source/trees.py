"""Files of a configuration directory, for tests of the loader."""

import os
from pathlib import Path

from dockerv6.source.model import Snapshot

NOW = 1_700_000_000.0


def network(name: str, spec: str = "{}") -> str:
    return f"apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def write(file: Path, text: str, at: float = NOW - 60) -> None:
    """Write a file in place, with a modification time."""
    file.write_text(text)
    os.utime(file, (at, at))


def names(snapshot: Snapshot) -> list[str]:
    return [item.resource.metadata.name for item in snapshot.resources]
