"""The files of manifests/compose as users deploy them with the real Compose, and what must be true of them then.

The files are copied: the operator in a project of its own with stack.yaml on its network, which is `external` there,
and the operator in one project with the stack (`sidecar`). An override file beside them gives the stack's services a
program that answers with its host name, and stack.yaml its published port. Nothing else is changed, but for
Compose 1.29 what docs/compose.md says.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.e2e import registry
from tests.e2e.cluster import condition, eventually, our_table, resource, subnet_of
from tests.e2e.compose import COMPOSE, ProjectOperator
from tests.e2e.site import published, reach_as
from tests.lab.compose import Stack
from tests.lab.engine import IMAGE
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, NEIGHBOUR_ADDRESS, ping
from tests.lab.process import run

if TYPE_CHECKING:
    from tests.e2e.site import Site

OVERRIDE = "docker-compose.override.yaml"
_OPERATORS_IMAGE = yaml.safe_load((COMPOSE / "docker-compose.yaml").read_text())["services"]["dockerv6"]["image"]
_DOCUMENT = registry.ROOT / "docs" / "compose.md"
RESPONDER = "command: [responder, tcp/80]"
# of a container in a ULA subnet; a prefix ends with its length
_ADDRESS = re.compile(r"fd[0-9a-f:]+::?[0-9a-f]+")


class Machine:
    """A host with an engine that has the images, and a copy of manifests/compose."""

    def __init__(self, site: Site, archive: Path) -> None:
        self.site = site
        client = site.engine.client()
        if _OPERATORS_IMAGE not in [tag for each in client.images() for tag in each["RepoTags"]]:
            site.engine.load_image(archive)
            for image, name in (
                (registry.TAG, _OPERATORS_IMAGE),
                (IMAGE, "busybox"),
                (IMAGE, "wordpress"),
                (IMAGE, "mariadb"),
            ):
                client.tag(image, *(name.split(":") if ":" in name else (name, "latest")))
        # the engine mounts from it, and the path that `build:` names must be there
        self.directory = site.engine.directory / "src" / "manifests" / "compose"
        shutil.copytree(COMPOSE, self.directory)

    def project(self, directory: Path, name: str, major: int, *, file: str = "docker-compose.yaml") -> Stack:
        """A project of a Compose file, changed as documented if Compose is 1.29."""
        if file != "docker-compose.yaml":  # each project has a directory of its own, with an override file in it
            (directory / name).mkdir()
            directory = Path(shutil.copy(directory / file, directory / name / "docker-compose.yaml")).parent
        if major == 1:
            run(["sh", "-c", f"cd {directory} && {_documented('sed -i')}"])
            self.site.engine.netexec("sh", "-c", _documented("sysctl -w"))
        return Stack(self.site.engine, directory, name, major)

    def deploy(self, layout: str, major: int) -> Deployment:
        """Write the files of a layout; nothing is started."""
        if layout == "sidecar":
            project = self.project(self.directory / "sidecar", "shop", major)
            override = f"services: {{web: {{{RESPONDER}}}, db: {{{RESPONDER}}}}}"
            stack, network, ports_file, port = project, "shop", project.directory / "docker-compose.yaml", 8080
        else:
            project = self.project(self.directory, "dockerv6", major)
            stack = self.project(self.directory, "blog", major, file="stack.yaml")
            override = f'services: {{web: {{{RESPONDER}, ports: ["8000:80"]}}, client: {{{RESPONDER}}}}}'
            network, ports_file, port = "blog", stack.directory / OVERRIDE, 8000
        (stack.directory / OVERRIDE).write_text(override)
        operator = self.site.lab.adopt(ProjectOperator(project, self.site.lab.directory / "container"))
        return Deployment(self, operator, project, stack, network, ports_file, port)

    def close(self) -> None:
        shutil.rmtree(self.site.engine.directory / "src")
        if self.site.engine.alive:
            client = self.site.engine.client()
            for container in client.containers(all=True):
                client.remove_container(container["Id"], force=True, v=True)
            for volume in client.volumes()["Volumes"] or []:
                client.remove_volume(volume["Name"])


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack with its operator. `stack` and `project` are one project if the operator is a service of the stack."""

    machine: Machine
    operator: ProjectOperator
    project: Stack
    stack: Stack
    network: str
    ports_file: Path
    """The file that has the stack's `ports:`."""
    port: int

    @property
    def site(self) -> Site:
        return self.machine.site

    @property
    def sidecar(self) -> bool:
        return self.project == self.stack

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(each for each in self.stack.compose("config", "--services").stdout.split() if each != "dockerv6")

    def is_up(self) -> bool:
        """Whether all runs as after the first `up`."""
        if not self.site.engine.alive or len(self.containers()) != 2:
            return False
        running = {each["Names"][0].lstrip("/") for each in self.site.engine.client().containers()}
        web = self.stack.container("web")
        return {web, self.project.container("dockerv6")} <= running and self._port_of(web) == self.port

    def publish(self, ports: str) -> None:
        """Change `ports:` of the service `web` in its file."""
        self.ports_file.write_text(re.sub(r'"\S+:80"', f'"{ports}:80"', self.ports_file.read_text()))

    def containers(self) -> dict[str, str]:
        """The names and identifiers of the stack's running containers, without the operator's."""
        label = f"com.docker.compose.project={self.stack.name}"
        found = self.site.engine.client().containers(filters={"label": label, "status": "running"})
        return {
            each["Names"][0].lstrip("/"): each["Id"]
            for each in found
            if each["Labels"]["com.docker.compose.service"] != "dockerv6"
        }

    def assert_right(self, *ports: int, services: int = 2) -> None:
        """Check everything that the stack must have, with real packets, and that nothing else is left of it."""
        engine = self.site.engine
        containers = self.containers()
        assert len(containers) == services
        eventually(lambda: self.members() == set(containers), "the stack's containers are on the network")
        addresses = {name: self.site.address(name, self.network) for name in containers}
        subnet = IPv6Network(subnet_of(engine, self.network))
        assert all(IPv6Address(each) in subnet for each in addresses.values())
        owners = {port: name for name in containers if (port := self._port_of(name))}
        assert set(owners) == set(ports)

        expected = (services, {(port, addresses[name]) for port, name in owners.items()})
        eventually(lambda: self._reported() == expected, f"the status has {expected}")
        eventually(lambda: self._in_rules(subnet) <= set(addresses.values()), "the rules have no other address")
        for port, name in owners.items():
            reach_as(self.site.neighbour, published(port), containers[name][:12], NEIGHBOUR_ADDRESS)
        for name in containers:
            eventually(partial(ping, engine, name, FAR_ADDRESS, deadline=1), f"{name} reaches the outside")
        assert self.site.lab.neighbour.seen_as(engine, next(iter(containers))) == HOST_ADDRESS

    def assert_no_container_is_left(self) -> None:
        """Check that the network stays, and that no rule names an address or port of a container."""
        eventually(lambda: self._reported() == (0, set()), "the status has no container")
        subnet = IPv6Network(subnet_of(self.site.engine, self.network))
        eventually(lambda: self._in_rules(subnet) == set(), "the rules have no container's address")

    def _port_of(self, container: str) -> int | None:
        bound = self.site.engine.client().inspect_container(container)["NetworkSettings"]["Ports"]
        return self.site.engine.host_port(container, "80/tcp") if bound.get("80/tcp") else None

    def members(self) -> set[str]:
        return {each["Name"] for each in self.site.engine.client().inspect_network(self.network)["Containers"].values()}

    def _reported(self) -> tuple[int, set[tuple[int, str]]] | None:
        ready = condition(self.operator, self.network, "Ready")
        if ready is None or ready["status"] != "True":
            return None
        status: dict[str, Any] = resource(self.operator, self.network)["status"]
        return status.get("containers", 0), {(p["port"], p["address"]) for p in status.get("publishedPorts", [])}

    def _in_rules(self, subnet: IPv6Network) -> set[str]:
        """The addresses of a network's containers in our table."""
        words = set(re.split(r"[\s,{}]+", our_table(self.site.engine)))
        hosts = {each for each in words if _ADDRESS.fullmatch(each) and IPv6Address(each) in subnet}
        return hosts - {str(subnet[1])}


def _documented(start: str) -> str:
    """The command of docs/compose.md that begins so."""
    (found,) = {line.strip() for line in _DOCUMENT.read_text().splitlines() if line.strip().startswith(start)}
    return found
