"""The life of stacks under the real Compose, v2 and 1.29: every command of a project, the engine's end, and a reboot.

The files are those of manifests/compose, in a copy: the operator in a project of its own with stack.yaml on its
network, which is `external` there, and the operator in one project with the stack (`sidecar`). An override file beside
them gives the stack's services a program that answers with its host name, and stack.yaml its published port. Nothing
else is changed, but for 1.29 what docs/compose.md says.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e import registry
from tests.e2e.cluster import condition, eventually, network_id, our_table, resource, subnet_of
from tests.e2e.compose import COMPOSE, ProjectOperator
from tests.e2e.site import Site, exclusive_site, published, reach_as
from tests.lab.cells import CELLS
from tests.lab.compose import Stack
from tests.lab.engine import IMAGE
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, HOST_ADDRESS_V4, NEIGHBOUR_ADDRESS, ping
from tests.lab.probe import Port, assert_closed, reach, wait_closed
from tests.lab.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.lab import EnginePool, Lab
    from tests.lab.session import Session

_TAG = "dockerv6:built-by-the-tests"
_OPERATORS_IMAGE = yaml.safe_load((COMPOSE / "docker-compose.yaml").read_text())["services"]["dockerv6"]["image"]
_DOCUMENT = registry.ROOT / "docs" / "compose.md"
_OVERRIDE = "docker-compose.override.yaml"
_RESPONDER = "command: [responder, tcp/80]"
# of a container in a ULA subnet; a prefix ends with its length
_ADDRESS = re.compile(r"fd[0-9a-f:]+::?[0-9a-f]+")
_LAYOUTS = [(layout, major) for major in (2, 1) for layout in ("external", "sidecar")]


def _on(layouts: list[tuple[str, int]]) -> pytest.MarkDecorator:
    names = [f"{layout}-v{major}" for layout, major in layouts]
    return pytest.mark.parametrize("running", layouts, ids=names, indirect=True, scope="module")


_every = _on(_LAYOUTS)
_external = _on(_LAYOUTS[::2])
# what Compose's version has no part in
_newer = _on(_LAYOUTS[:2])

_OWN = f"""
services:
  web: {{image: {IMAGE}, {_RESPONDER}}}
networks:
  default: {{name: blog}}
"""
_REFUSALS = {2: "network blog was found but has incorrect label", 1: 'Network "blog" needs to be recreated'}
# as the real one does, `wordpress` serves once it has found its database by name
_STAND_INS = """
services:
  wordpress:
    command:
      - sh
      - -c
      - until echo who | nc -w 1 "$$WORDPRESS_DB_HOST" 3306; do sleep 0.2; done; exec responder tcp/80
  db:
    command: [responder, tcp/3306]
"""

# the first run builds the image (test_packaging.py)
pytestmark = [pytest.mark.timeout(1800), pytest.mark.cells("28.5")]


def _documented(start: str) -> str:
    """The command of docs/compose.md that begins so."""
    (found,) = {line.strip() for line in _DOCUMENT.read_text().splitlines() if line.strip().startswith(start)}
    return found


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


@pytest.fixture(scope="module")
def archive(lab_session: Session) -> Path:
    """The image of the committed Dockerfile."""
    return registry.image_archive(lab_session, CELLS["28.5"].settings, _TAG)


class Machine:
    """A host with an engine that has the images, and a copy of manifests/compose."""

    def __init__(self, site: Site, archive: Path) -> None:
        self.site = site
        client = site.engine.client()
        if _OPERATORS_IMAGE not in [tag for each in client.images() for tag in each["RepoTags"]]:
            site.engine.load_image(archive)
            for image, name in ((_TAG, _OPERATORS_IMAGE), (IMAGE, "busybox"), (IMAGE, "wordpress"), (IMAGE, "mariadb")):
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
            override = f"services: {{web: {{{_RESPONDER}}}, db: {{{_RESPONDER}}}}}"
            stack, network, ports_file, port = project, "shop", project.directory / "docker-compose.yaml", 8080
        else:
            project = self.project(self.directory, "dockerv6", major)
            stack = self.project(self.directory, "blog", major, file="stack.yaml")
            override = f'services: {{web: {{{_RESPONDER}, ports: ["8000:80"]}}, client: {{{_RESPONDER}}}}}'
            network, ports_file, port = "blog", stack.directory / _OVERRIDE, 8000
        (stack.directory / _OVERRIDE).write_text(override)
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


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, archive: Path, engine_pool: EnginePool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A virgin host on which the documented commands were run, once."""
    with exclusive_site(engine_pool, CELLS["28.5"].settings, tmp_path_factory.mktemp("site")) as site:
        machine = Machine(site, archive)
        try:
            deployment = machine.deploy(*request.param)
            if not deployment.sidecar:
                refused = deployment.stack.up(check=False)
                assert refused.returncode != 0
                assert "blog declared as external, but could not be found" in refused.stderr
                _start_operator(deployment)
            deployment.stack.up()
            yield deployment
        finally:
            machine.close()


def _start_operator(deployment: Deployment) -> None:
    """The operator's first start, as documented."""
    wait = ("wait", f"v6net/{deployment.network}", "--for=condition=Ready")
    if deployment.project.major == 1:
        deployment.project.up()
        eventually(lambda: deployment.operator.cli(*wait), "the operator answers, and the network is ready")
    else:
        deployment.project.up("--wait")
        deployment.operator.cli(*wait)


@pytest.fixture(autouse=True)
def _logs(request: pytest.FixtureRequest, report_logs_of: Callable[[Lab], None]) -> None:
    if "running" in request.fixturenames:
        report_logs_of(request.getfixturevalue("running").site.lab)


@pytest.fixture
def deployment(running: Deployment) -> Deployment:
    """A deployment that is up, also if the test before failed."""
    if not running.is_up():
        if not running.site.engine.alive:
            running.site.engine.start()
        running.publish(str(running.port))
        running.project.up()
        running.stack.up()
    return running


@_every
def test_the_first_up_on_a_virgin_host_gives_the_stack_ipv6(running: Deployment) -> None:
    running.assert_right(running.port)
    reach(running.site.neighbour, published(running.port, address=HOST_ADDRESS_V4))


@_every
def test_recreated_containers_take_the_place_of_the_former_ones(deployment: Deployment) -> None:
    before = set(deployment.containers().values())
    deployment.stack.up("--force-recreate")
    assert before.isdisjoint(deployment.containers().values())
    deployment.assert_right(deployment.port)


@_every
def test_restarted_containers_are_as_before(deployment: Deployment) -> None:
    deployment.stack.compose("restart")
    deployment.assert_right(deployment.port)


@_every
def test_scaled_services_and_changed_ports_are_followed(deployment: Deployment) -> None:
    deployment.publish("9090-9092")
    deployment.stack.up("--scale", "web=3")
    deployment.assert_right(9090, 9091, 9092, services=4)
    wait_closed(deployment.site.neighbour, published(deployment.port))
    deployment.publish(str(deployment.port))
    deployment.stack.up("--scale", "web=1")
    deployment.assert_right(deployment.port)
    wait_closed(deployment.site.neighbour, *(published(port) for port in (9090, 9091, 9092)))


@_every
def test_down_leaves_the_network_and_up_finds_it(deployment: Deployment) -> None:
    engine = deployment.site.engine
    before = network_id(engine, deployment.network)
    assert before is not None
    deployment.stack.compose("down")
    assert deployment.containers() == {}
    if not deployment.sidecar:
        deployment.assert_no_container_is_left()
    assert network_id(engine, deployment.network) == before
    deployment.stack.up()
    deployment.assert_right(deployment.port)
    assert network_id(engine, deployment.network) == before


@_external
def test_a_stack_that_declares_the_operators_network_as_its_own_is_corrected(deployment: Deployment) -> None:
    engine = deployment.site.engine
    own = Stack(engine, deployment.stack.directory.parent / "own", "own", deployment.stack.major)
    own.write(_OWN)
    refused = own.up(check=False)
    assert refused.returncode != 0
    assert _REFUSALS[own.major] in refused.stderr
    own.write(_OWN.replace("name: blog", "name: blog, external: true"))
    own.up()
    name = own.container("web")
    assert name in deployment.members()
    eventually(partial(ping, engine, name, FAR_ADDRESS, deadline=1), "it reaches the outside")
    own.compose("down")
    deployment.assert_right(deployment.port)


@_on(_LAYOUTS[:1])
def test_the_wordpress_stack_has_ipv6_from_its_first_up_until_down(deployment: Deployment) -> None:
    """The files are those of docs/compose.md; programs of the test image stand in for the two images."""
    site, machine = deployment.site, deployment.machine
    stack = machine.project(machine.directory, "wordpress", deployment.stack.major, file="wordpress.yaml")
    (stack.directory / _OVERRIDE).write_text(_STAND_INS)
    wordpress = replace(deployment, stack=stack, network="wordpress", port=8080)
    stack.up()
    wordpress.assert_right(8080)
    reach(site.neighbour, published(8080, address=HOST_ADDRESS_V4))
    database = stack.container("db")
    inside, address = site.inside(stack.container("wordpress")), site.address(database, "wordpress")
    assert reach(inside, Port("tcp", address, 3306)).name == wordpress.containers()[database][:12]
    assert_closed(site.neighbour, published(3306))
    stack.compose("down")
    wordpress.assert_no_container_is_left()


@_newer
def test_down_of_the_operators_project_with_its_state_interrupts_nothing(deployment: Deployment) -> None:
    engine = deployment.site.engine
    before = network_id(engine, deployment.network), subnet_of(engine, deployment.network)
    deployment.project.compose("down", "--volumes")
    if not deployment.sidecar:
        name = deployment.stack.container("web")
        reach_as(
            deployment.site.neighbour, published(deployment.port), deployment.containers()[name][:12], NEIGHBOUR_ADDRESS
        )
        assert ping(engine, name, FAR_ADDRESS)
    deployment.project.up()
    deployment.assert_right(deployment.port)
    assert (network_id(engine, deployment.network), subnet_of(engine, deployment.network)) == before


@_newer
def test_a_restarted_engine_brings_all_back(deployment: Deployment) -> None:
    deployment.site.engine.restart()
    eventually(lambda: len(deployment.containers()) == 2, "the engine starts the containers")
    deployment.assert_right(deployment.port)


@_newer
def test_after_a_reboot_the_operator_may_come_last(deployment: Deployment) -> None:
    """The engine is killed, the rules are gone, and the operator's container starts only when all others run."""
    engine = deployment.site.engine
    deployment.project.compose("stop", "dockerv6")  # `unless-stopped`: the engine does not start it
    engine.kill()
    engine.netexec("nft", "delete", "table", "inet", "dockerv6")
    engine.start()
    eventually(lambda: len(deployment.containers()) == 2, "the engine starts the containers")
    deployment.project.compose("start", "dockerv6")
    deployment.assert_right(deployment.port)


@_every
def test_a_stack_that_is_started_days_later_gets_what_is_declared_then(deployment: Deployment) -> None:
    """While it is stopped, the operator is restarted, and the network gets another subnet."""
    site, services = deployment.site, deployment.services
    file = f"{deployment.network}.yaml"
    document = yaml.safe_load((deployment.operator.config_dir / file).read_text())
    deployment.stack.compose("stop", *services)
    deployment.assert_no_container_is_left()
    deployment.project.compose("stop", "dockerv6")
    spec = {**document["spec"], "addressing": {"subnet": "fd12:3456:789a:1::/64"}, "updateStrategy": "Recreate"}
    deployment.operator.apply_yaml(file, yaml.safe_dump({**document, "spec": spec}))
    deployment.project.compose("start", "dockerv6")
    eventually(lambda: subnet_of(site.engine, deployment.network) == "fd12:3456:789a:1::/64", "the subnet is changed")
    deployment.operator.wait_ready(f"ipv6network/{deployment.network}")
    deployment.stack.compose("start", *services)
    deployment.assert_right(deployment.port)
