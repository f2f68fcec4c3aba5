"""What Compose reads besides the Compose file: variables of its own, and files that it merges.

Source: compose-go, cli/options.go (DefaultFileNames, DefaultOverrideFileNames, withNamePrecedenceLoad); Docker's page
on the predefined variables of Compose.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dockerv6.lib.text import escaped
from dockerv6.planning.importing.compose import RESOLVE
from dockerv6.source.files import MAX_BYTES

PROJECT_NAME = "COMPOSE_PROJECT_NAME"
"""The variable of the project's name. It counts more than ``name`` in the file."""

_FILES, _SEPARATOR = "COMPOSE_FILE", "COMPOSE_PATH_SEPARATOR"
_ENV_FILES, _NO_ENV_FILE = "COMPOSE_ENV_FILES", "COMPOSE_DISABLE_ENV_FILE"
_COMMENT = re.compile(r"(?:^|[ \t])#.*$")
_DEFAULT_FILES = frozenset({"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"})
_OVERRIDES = (
    *("compose.override.yml", "compose.override.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml"),
)


def environment_name(directory: Path, environment: Mapping[str, str]) -> tuple[str, str]:
    """The project's name by the environment or ``.env``, and which of them gives it; "": neither does.

    Raises:
        OSError: a file with variables can't be read.
    """
    return _variable(PROJECT_NAME, directory, environment)


def _variable(variable: str, directory: Path, environment: Mapping[str, str]) -> tuple[str, str]:
    """The value of a variable for Compose, and where it is from.

    A value that only Compose can read, such as one with a variable, is returned as it is written: no project has that
    name.

    Raises:
        OSError: ``.env`` can't be read.
    """
    if value := environment.get(variable, ""):
        return value, "the environment"
    if variable in environment:  # an empty one hides that of .env
        return "", ""
    for file in reversed(_env_files(directory, environment)):  # the last one counts
        assigned = _assigned(variable, file)
        if assigned is not None:
            return (assigned, file.name) if assigned else ("", "")
    return "", ""


def _env_files(directory: Path, environment: Mapping[str, str]) -> list[Path]:
    """The files that Compose reads variables from, in its order."""
    if written := environment.get(_ENV_FILES, ""):
        return [Path(name.strip()) for name in written.split(",")]  # of the current directory
    if environment.get(_NO_ENV_FILE, "").lower() in {"1", "t", "true"}:
        return []
    default = directory / ".env"
    return [default] if default.exists() and not default.is_dir() else []


def _assigned(variable: str, file: Path) -> str | None:
    """The value in a file; None: the file does not set the variable. The last assignment counts, also an empty one."""
    with file.open("rb") as opened:
        text = opened.read(MAX_BYTES).decode(errors="replace")
    assignment = rf"^[ \t]*(?:export[ \t]+)?{variable}[ \t]*[=:](.*)$"
    values = re.findall(assignment, text.replace("\r", ""), re.MULTILINE)
    if not values:
        return None
    value = _COMMENT.sub("", values[-1]).strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return value


def merge_remarks(file: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
    """A remark for what Compose merges with this file: the files of ``COMPOSE_FILE``, else the override files.

    Raises:
        OSError: a file with variables can't be read.
    """
    chosen, where = _variable(_FILES, file.parent, environment)
    if chosen:
        separator = _variable(_SEPARATOR, file.parent, environment)[0] or os.pathsep
        named = (os.path.normpath(file.parent / name) for name in chosen.split(separator) if name)
        others = [name for name in named if name != os.path.normpath(file)]
        if not others:
            return ()
        return (f"{where} sets {_FILES} to {escaped(chosen)}, and only {file.name} is read: {RESOLVE}",)
    if file.name not in _DEFAULT_FILES:
        return ()
    found = (name for name in _OVERRIDES if (file.parent / name).exists())
    return tuple(f"{name} beside {file.name} is not read, but Compose merges it: {RESOLVE}" for name in found)
