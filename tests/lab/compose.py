"""Docker Compose v2 as a user runs it: the real program, with an engine's socket."""

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

_UP = ("up", "--detach", "--pull", "never")


@dataclass(frozen=True, slots=True)
class Stack:
    """A Compose project in a directory of its own. Its images must be on the engine already."""

    engine: Engine
    directory: Path
    name: str

    def write(self, text: str) -> None:
        """Write the Compose file."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "compose.yaml").write_text(text)

    def up(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose up`; errors as in `process.run`."""
        return self.compose(*_UP, *arguments, check=check)

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker compose ARGUMENTS` to its end; errors as in `process.run`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER", "COMPOSE"))}
        ours = {
            "DOCKER_HOST": self.engine.docker_host,
            "DOCKER_CONFIG": str(self.directory),
            MARK: self.engine.session.id,
        }
        project = ("--project-name", self.name, "--project-directory", str(self.directory))
        return run([*packages.compose(), *project, *arguments], check=check, env={**inherited, **ours})

    def container(self, service: str) -> str:
        """The name that Compose gives to the first container of a service."""
        return f"{self.name}-{service}-1"
