"""A small `docker compose up` through the engine's API.

It supports only what the project's own Compose files use. Anything else is an error, so that nothing stays untested.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.e2e.registry import ROOT
from tests.lab.operator import Operator, OperatorError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from tests.lab.compose import Stack
    from tests.lab.engine import Engine

_LABEL = "com.docker.compose.project"


class ComposeError(RuntimeError):
    """The file uses an unsupported feature, or Compose would refuse it."""


COMPOSE = ROOT / "manifests" / "compose"


@dataclass(frozen=True, slots=True)
class Project:
    """A Compose file on an engine. Its relative paths are copied to a directory that the engine sees."""

    engine: Engine
    document: Mapping[str, Any]
    directory: Path

    @classmethod
    def load(cls, engine: Engine, file: Path) -> Project:
        """Read a file, and copy its directory to a place from which the engine can mount."""
        directory = engine.directory / "compose"
        shutil.copytree(file.parent, directory, dirs_exist_ok=True)
        document = yaml.safe_load(file.read_text())
        if unknown := document.keys() - {"name", "services", "networks", "volumes"}:
            raise ComposeError(f"{file}: {unknown}")
        return cls(engine, document, directory)

    def up(self, service: str, *, image: str, healthcheck: Mapping[str, object] | None = None) -> str:
        """Create and start a service's container from an image that the engine has; return its identifier."""
        body = self._body(service, self.document["services"][service])
        client = self.engine.client()
        container = client.create_container_from_config(  # type: ignore[no-untyped-call]
            {**body, "Image": image, "Healthcheck": dict(healthcheck or {})},
            name=f"{self.document['name']}-{service}-1",
        )
        client.start(container["Id"])
        return str(container["Id"])

    def _body(self, name: str, service: Mapping[str, Any]) -> dict[str, object]:
        known = {"image", "build", "restart", "network_mode", "volumes", "read_only", "tmpfs", "cap_drop", "cap_add"}
        known |= {"security_opt", "command", "networks"}
        if unknown := service.keys() - known:
            raise ComposeError(f"service {name}: {unknown}")
        endpoints = {network: self._endpoint(name, each) for network, each in self._networks(service).items()}
        return {
            "Cmd": service.get("command"),
            "Labels": {_LABEL: self.document["name"]},
            "HostConfig": {
                "RestartPolicy": {"Name": service.get("restart", "no")},
                "NetworkMode": service.get("network_mode") or next(iter(endpoints)),
                "Binds": [self._bind(each) for each in service.get("volumes", [])],
                "ReadonlyRootfs": service.get("read_only", False),
                "Tmpfs": dict.fromkeys(service.get("tmpfs", []), ""),
                "CapDrop": service.get("cap_drop", []),
                "CapAdd": service.get("cap_add", []),
                **_security(service.get("security_opt", [])),
            },
            "NetworkingConfig": {"EndpointsConfig": endpoints},
        }

    def _networks(self, service: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Return a service's networks by the name that they have in the engine."""
        wanted = service.get("networks", [])
        chosen = wanted if isinstance(wanted, dict) else dict.fromkeys(wanted)
        networks = {}
        for network, settings in chosen.items():
            declared = self.document["networks"][network]
            if declared != {"external": True}:
                raise ComposeError(f"network {network}: only external ones")
            if not self.engine.client().networks(names=[f"^{network}$"]):
                raise ComposeError(f"network {network} declared as external, but could not be found")
            networks[network] = settings or {}
        return networks

    @staticmethod
    def _endpoint(service: str, settings: Mapping[str, Any]) -> dict[str, object]:
        return {"Aliases": [service, *settings.get("aliases", [])]}

    def _bind(self, volume: str) -> str:
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            return f"{self.directory / source}:{rest}"
        if source in (self.document.get("volumes") or {}):
            return f"{self.document['name']}_{source}:{rest}"
        return volume


@contextmanager
def operator_project(engine: Engine, archive: Path) -> Iterator[Project]:
    """Prepare an engine for the Compose file: the image is loaded."""
    engine.load_image(archive)
    project = Project.load(engine, COMPOSE / "docker-compose.yaml")
    try:
        yield project
    finally:
        shutil.rmtree(project.directory)
        if engine.alive:
            for container in engine.client().containers(all=True):
                engine.client().remove_container(container["Id"], force=True)
            engine.docker("volume", "rm", "--force", "dockerv6_state")


class ProjectOperator(Operator):
    """The operator as a service of a project of the real Compose; its state is read in the project's volume."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        super().__init__(stack.engine, directory)
        self._stack = stack
        self.config_dir = stack.directory / "dockerv6.d"
        self.state_dir = stack.engine.directory / "data" / "volumes" / f"{stack.name}_state" / "_data"

    def cli(
        self, *arguments: str, check: bool = True, timeout: float = 120.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker compose exec dockerv6 dockerv6 ARGUMENTS`."""
        if timeout != 120.0 or stdin is not None:
            raise OperatorError("Compose determines time and standard input")
        return self._stack.compose("exec", "-T", "dockerv6", "dockerv6", *arguments, check=check)

    def log_tail(self, lines: int = 80) -> str:
        """Return the last lines of the service's log."""
        return self._stack.compose("logs", f"--tail={lines}", "dockerv6", check=False).stdout


class ContainerOperator(Operator):
    """The operator as the container of its Compose file, without the resources beside that file."""

    def __init__(self, project: Project, directory: Path, image: str) -> None:
        super().__init__(project.engine, directory)
        self._project = project
        self._image = image
        self._container = ""
        self.config_dir = project.directory / "dockerv6.d"
        for resource in self.config_dir.iterdir():
            resource.unlink()

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Create the container. The Compose file determines arguments and environment."""
        if arguments or environment:
            raise OperatorError("the Compose file determines arguments and environment")
        self._container = self._project.up("dockerv6", image=self._image)

    @property
    def _state(self) -> dict[str, Any]:
        return dict(self.engine.client().inspect_container(self._container)["State"])

    @property
    def running(self) -> bool:
        return bool(self._container) and bool(self._state["Running"])

    @property
    def proc(self) -> Path:
        """The daemon's directory in /proc, valid outside the engine's PID namespace."""
        return Path(f"/proc/{self.engine.pid}/root/proc/{self._state['Pid']}")

    def cli(
        self, *arguments: str, check: bool = True, timeout: float = 120.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `dockerv6 ARGUMENTS` in the container."""
        if stdin is not None:
            raise OperatorError("no standard input in the container")
        return self.engine.container_exec(self._container, "dockerv6", *arguments, check=check, timeout=timeout)

    def read(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, where the state is."""
        return self.cli(*arguments, check=check)

    def stop(self, patience: float = 10.0) -> int:
        """Stop the container; return the daemon's exit status."""
        self.engine.docker("stop", "-t", f"{patience:g}", self._container)
        return int(self._state["ExitCode"])

    def log_tail(self, lines: int = 80) -> str:
        """Return the last lines of the container's log."""
        return self.engine.docker("logs", "--tail", str(lines), self._container, check=False).stderr


def _security(options: list[str]) -> dict[str, object]:
    """Convert the options as Compose and `docker run` do: `systempaths` becomes fields of the API."""
    unconfined = "systempaths=unconfined"
    others = {"SecurityOpt": [each for each in options if each != unconfined]}
    return {**others, "MaskedPaths": [], "ReadonlyPaths": []} if unconfined in options else {**others}
