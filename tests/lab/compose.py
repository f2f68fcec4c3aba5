"""Docker Compose as a user runs it, v2 or 1.29: the real program, with an engine's socket."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab import packages
from tests.lab.process import MARK, run

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.lab.engine import Engine

# 1.29 pulls only what the engine lacks, and can't recreate containers on engine 25 and newer if it keeps their volumes
_UP = {2: ("--pull", "never"), 1: ("--renew-anon-volumes",)}
_PROGRAMS = {2: packages.compose, 1: packages.compose_v1}
_SEPARATORS = {2: "-", 1: "_"}


@dataclass(frozen=True, slots=True)
class Stack:
    """A Compose project in a directory of its own. Its images must be on the engine already."""

    engine: Engine
    directory: Path
    name: str
    major: int = 2
    """The version of Compose: 2, or 1 for 1.29."""

    def write(self, text: str) -> None:
        """Write the Compose file."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "compose.yaml").write_text(text)

    def up(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose up`; errors as in `process.run`."""
        return self.compose("up", "--detach", *_UP[self.major], *arguments, check=check)

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker compose ARGUMENTS` to its end; errors as in `process.run`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER", "COMPOSE"))}
        ours = {
            "DOCKER_HOST": self.engine.docker_host,
            "DOCKER_CONFIG": str(self.directory),
            MARK: self.engine.session.id,
        }
        project = ("--project-name", self.name, "--project-directory", str(self.directory))
        return run([*_PROGRAMS[self.major](), *project, *arguments], check=check, env={**inherited, **ours})

    def container(self, service: str, number: int = 1) -> str:
        """The name that Compose gives to a service's container of that number, by default to its first one."""
        return _SEPARATORS[self.major].join((self.name, service, str(number)))
