"""Stacks under the real Compose, v2 and 1.29: every command of a project, the end of the engine, and a reboot."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.e2e import registry
from tests.e2e.cluster import eventually, network_id, subnet_of
from tests.e2e.compose_deployment import OVERRIDE, RESPONDER, Deployment, Machine
from tests.e2e.site import exclusive_site, published, reach_as
from tests.lab.cells import CELLS
from tests.lab.compose import Stack
from tests.lab.engine import IMAGE
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS_V4, NEIGHBOUR_ADDRESS, ping
from tests.lab.probe import Port, assert_closed, reach, wait_closed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.lab.lab import EnginePool, Lab
    from tests.lab.session import Session

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
  web: {{image: {IMAGE}, {RESPONDER}}}
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


@pytest.fixture(scope="module")
def archive(lab_session: Session) -> Path:
    """The image of the committed Dockerfile."""
    return registry.image_archive(lab_session, CELLS["28.5"].settings, registry.TAG)


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
    (stack.directory / OVERRIDE).write_text(_STAND_INS)
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
