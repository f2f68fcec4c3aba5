"""A small `docker compose up` through the engine's API.

It supports only what the project's own Compose files use. Anything else is an error, so that nothing stays untested.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.lab.engine import Engine

_LABEL = "com.docker.compose.project"


class ComposeError(RuntimeError):
    """The file uses an unsupported feature, or Compose would refuse it."""


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


def _security(options: list[str]) -> dict[str, object]:
    """Convert the options as Compose and `docker run` do: `systempaths` becomes fields of the API."""
    unconfined = "systempaths=unconfined"
    others = {"SecurityOpt": [each for each in options if each != unconfined]}
    return {**others, "MaskedPaths": [], "ReadonlyPaths": []} if unconfined in options else {**others}
