"""What Compose takes from the directory of a Compose file beside it: ``.env``, and files that it merges.

Source: compose-go, cli/options.go (DefaultFileNames, DefaultOverrideFileNames, withNamePrecedenceLoad).
"""

import re
from collections.abc import Mapping
from pathlib import Path

from dockerv6.planning.importing.compose import RESOLVE
from dockerv6.source.files import MAX_BYTES

PROJECT_NAME = "COMPOSE_PROJECT_NAME"
"""The variable of the project's name. It counts more than ``name`` in the file."""

_ASSIGNMENT = re.compile(rf"^[ \t]*(?:export[ \t]+)?{PROJECT_NAME}[ \t]*[=:](.*)$", re.MULTILINE)
_COMMENT = re.compile(r"(?:^|[ \t])#.*$")
_DEFAULT_FILES = frozenset({"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"})
_OVERRIDES = (
    *("compose.override.yml", "compose.override.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml"),
)


def environment_name(directory: Path, environment: Mapping[str, str]) -> tuple[str, str]:
    """The project's name by the environment or ``.env``, and which of them gives it; "": neither does.

    A value that only Compose can read, such as one with a variable, is returned as it is written: no project has that
    name.

    Raises:
        OSError: ``.env`` can't be read.
    """
    if name := environment.get(PROJECT_NAME, ""):
        return name, "the environment"
    if PROJECT_NAME in environment:  # an empty one hides that of .env
        return "", ""
    try:
        with (directory / ".env").open("rb") as file:
            text = file.read(MAX_BYTES).decode(errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        return "", ""
    values = _ASSIGNMENT.findall(text.replace("\r", ""))
    value = _COMMENT.sub("", values[-1]).strip() if values else ""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return (value, ".env") if value else ("", "")


def override_remarks(file: Path) -> tuple[str, ...]:
    """A remark for each file that Compose merges with this one by default."""
    if file.name not in _DEFAULT_FILES:
        return ()
    found = (name for name in _OVERRIDES if (file.parent / name).exists())
    return tuple(f"{name} beside {file.name} is not read, but Compose merges it: {RESOLVE}" for name in found)
