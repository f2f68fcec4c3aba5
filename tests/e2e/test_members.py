"""An IPv4-only Compose stack gets IPv6 in both directions by one resource with `members`, without a change to its file.

The stack is manifests/compose/wordpress.yaml with busybox images: a web server that is published on port 8080 and a
database, on one bridge network with IPv4 only. The resource is the one in dockerv6.d next to it.

Measured effects on IPv4: a network with the default spec has IPv4 and IPv6, and engines prefer such a network for both
default routes of a container.

- 20.10 and 28.5: the IPv4 default route moves to our network; the source address outside is still the host's. 28.5 does
  so although we request the lowest gateway priority (-1): a network with both families precedes one with IPv4 only
  whenever IPv6 needs it. The engine moves the published ports with the route: fixed ports answer as before, a random
  one (`-p 80`) changes when the container is attached and again when it is detached.
- 20.10: a service's name resolves to its addresses in our network, IPv4 and IPv6. 28.5 with priority -1: it resolves
  only to the stack's own IPv4 address, as before.
- 28.5 with `ipv4: {enabled: false}`: the IPv4 default route and the names do not change; random ports change too.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.e2e.cluster import eventually, network_id, network_yaml, resource
from tests.e2e.registry import ROOT
from tests.e2e.site import Site, exclusive_site, published, reach_as, timed
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, HOST_ADDRESS_V4, NEIGHBOUR_ADDRESS, NEIGHBOUR_ADDRESS_V4, ping
from tests.lab.probe import Port, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.cells import Cell
    from tests.lab.lab import EnginePool, Lab

pytestmark = pytest.mark.cells("20.10-off", "28.5")

_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_COMPOSE = ROOT / "manifests" / "compose"
_FILE = "wordpress.yaml"
_SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((_COMPOSE / _FILE).read_text())["services"]
_STACK = "wordpress_default"
_OVER_IPV4 = published(8080, address=HOST_ADDRESS_V4)
_OVER_IPV6 = published(8080)


def _blog(**labels: str) -> str:
    """The resource, optionally with other labels."""
    if not labels:
        return (_COMPOSE / "dockerv6.d" / _FILE).read_text()
    return network_yaml("wordpress", {"members": {"matchLabels": labels}})


def _service(site: Site, service: str, **options: Any) -> str:
    """Start a service's container as Compose does."""
    labels = {_PROJECT: "wordpress", _SERVICE: service}
    pairs = (each.split(":") for each in _SERVICES.get(service, {}).get("ports", []))
    options.setdefault("ports", {f"{container_port}/tcp": int(host_port) for host_port, container_port in pairs})
    return site.run(f"wordpress-{service}-1", _STACK, labels=labels, aliases=[service], **options)


@pytest.fixture(scope="module")
def site(cell: Cell, engine_pool: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host with the stack, as after `docker compose up`, and an operator without resources."""
    with exclusive_site(engine_pool, cell.settings, tmp_path_factory.mktemp("site")) as site:
        site.create_network(_STACK, "", "--label", f"{_PROJECT}=blog")
        for service in _SERVICES:
            _service(site, service)
        site.run("stranger", _STACK)
        site.start()
        yield site


@pytest.fixture(autouse=True)
def _logs(site: Site, report_logs_of: Callable[[Lab], None]) -> None:
    report_logs_of(site.lab)


@pytest.fixture
def blog(site: Site) -> Site:
    """The site with the resource applied."""
    site.operator.apply_yaml(_FILE, _blog())
    site.operator.wait_ready("ipv6network/wordpress")
    _attached(site, "wordpress-db-1", "wordpress-wordpress-1")
    return site


def _members(site: Site, network: str = "wordpress") -> set[str]:
    """The containers that are attached to our network, according to the engine."""
    found = site.engine.client().inspect_network(network)["Containers"].values()
    return {each["Name"] for each in found}


def _attached(site: Site, *names: str) -> None:
    eventually(lambda: _members(site) == set(names), f"{names} are attached")


def _stack_works(site: Site) -> None:
    """Check what the stack had before over IPv4: its port, its names, its egress."""
    assert str(reach(site.neighbour, _OVER_IPV4, name="wordpress-wordpress-1").client) == NEIGHBOUR_ADDRESS_V4
    networks = site.engine.client().inspect_container("wordpress-db-1")["NetworkSettings"]["Networks"].values()
    answers = site.engine.container_exec("wordpress-wordpress-1", "nslookup", "db").stdout
    named = [each["IPAddress"] for each in networks if each["IPAddress"] and each["IPAddress"] in answers]
    assert len(named) == 1
    assert reach(site.inside("wordpress-wordpress-1"), Port("tcp", named[0], 80)).name == "wordpress-db-1"
    assert ping(site.engine, "wordpress-wordpress-1", NEIGHBOUR_ADDRESS_V4)


def _has_ipv6(site: Site, *names: str) -> None:
    for name in names:
        eventually(partial(ping, site.engine, name, FAR_ADDRESS, deadline=1), f"{name} reaches the outside")
        assert site.lab.neighbour.seen_as(site.engine, name) == HOST_ADDRESS


def _ipv4_gateway(site: Site, container: str) -> str:
    """The network by which a container's IPv4 default route goes."""
    routes = site.engine.container_netns_exec(container, "ip", "-json", "-4", "route", "show", "default").stdout
    (route,) = json.loads(routes)
    networks = site.engine.client().inspect_container(container)["NetworkSettings"]["Networks"]
    return str(next(name for name, each in networks.items() if each["Gateway"] == route["gateway"]))


def test_the_stack_has_no_ipv6_by_itself(site: Site) -> None:
    _stack_works(site)
    assert not ping(site.engine, "wordpress-wordpress-1", FAR_ADDRESS, deadline=1)


def test_one_resource_gives_the_stack_ipv6_in_both_directions_beside_ipv4(blog: Site) -> None:
    _has_ipv6(blog, "wordpress-db-1", "wordpress-wordpress-1")
    reach_as(blog.neighbour, _OVER_IPV6, "wordpress-wordpress-1", NEIGHBOUR_ADDRESS)
    _stack_works(blog)
    assert _members(blog) == {"wordpress-db-1", "wordpress-wordpress-1"}

    def reported() -> tuple[int, list[tuple[int, str]]]:
        status = resource(blog.operator, "wordpress")["status"]
        return status["containers"], [(each["port"], each["container"]) for each in status["publishedPorts"]]

    eventually(lambda: reported() == (2, [(8080, "wordpress-wordpress-1")]), "the status has both and the port")
    for name in ("wordpress-db-1", "wordpress-wordpress-1"):
        assert _ipv4_gateway(blog, name) == "wordpress"


def test_services_reach_each_other_over_ipv6_too(blog: Site) -> None:
    address = blog.address("wordpress-db-1", "wordpress")
    assert reach(blog.inside("wordpress-wordpress-1"), Port("tcp", address, 80)).name == "wordpress-db-1"


@pytest.mark.cells("28.5")
def test_a_network_without_ipv4_does_not_change_the_stacks_ipv4(site: Site) -> None:
    _service(site, "random", ports={"80/tcp": 0})
    spec = {"ipv4": {"enabled": False}, "members": {"matchLabels": {_PROJECT: "wordpress"}}}
    site.operator.apply_yaml("six.yaml", network_yaml("six", spec))
    site.operator.wait_ready("ipv6network/six")
    names = {"wordpress-db-1", "wordpress-random-1", "wordpress-wordpress-1"}
    eventually(lambda: _members(site, "six") == names, "they are attached")
    _has_ipv6(site, *names)
    reach_as(site.neighbour, _OVER_IPV6, "wordpress-wordpress-1", NEIGHBOUR_ADDRESS)
    port = site.engine.host_port("wordpress-random-1", "80/tcp")
    reach_as(site.neighbour, published(port), "wordpress-random-1", NEIGHBOUR_ADDRESS)
    _stack_works(site)
    assert _ipv4_gateway(site, "wordpress-wordpress-1") == _STACK
    site.remove("wordpress-random-1")
    site.operator.remove_yaml("six.yaml")
    site.operator.wait_deleted("ipv6network/six")
    _stack_works(site)


def test_containers_come_and_go_with_the_stack(blog: Site) -> None:
    _service(blog, "cache")
    with timed("a started container is attached after"):
        eventually(lambda: "wordpress-cache-1" in _members(blog), "it is attached")
    _has_ipv6(blog, "wordpress-cache-1")
    blog.engine.docker("restart", "-t", "0", "wordpress-cache-1")
    _has_ipv6(blog, "wordpress-cache-1")
    blog.remove("wordpress-cache-1")
    _attached(blog, "wordpress-db-1", "wordpress-wordpress-1")
    # Compose recreates a container with the same name when its service changed
    blog.remove("wordpress-db-1")
    _service(blog, "db")
    _attached(blog, "wordpress-db-1", "wordpress-wordpress-1")
    _has_ipv6(blog, "wordpress-db-1")
    _stack_works(blog)


def test_a_changed_selector_detaches_only_containers_that_we_attached(blog: Site) -> None:
    blog.engine.docker("network", "connect", "wordpress", "stranger")
    _attached(blog, "wordpress-db-1", "wordpress-wordpress-1", "stranger")
    blog.operator.apply_yaml(_FILE, _blog(**{_PROJECT: "wordpress", _SERVICE: "wordpress"}))
    _attached(blog, "wordpress-wordpress-1", "stranger")
    reach_as(blog.neighbour, _OVER_IPV6, "wordpress-wordpress-1", NEIGHBOUR_ADDRESS)
    _stack_works(blog)
    blog.operator.apply_yaml(_FILE, _blog())
    _attached(blog, "wordpress-db-1", "wordpress-wordpress-1", "stranger")
    _has_ipv6(blog, "wordpress-db-1", "stranger")
    blog.engine.docker("network", "disconnect", "wordpress", "stranger")


def test_a_restart_of_the_operator_changes_nothing(blog: Site) -> None:
    before = {name: blog.address(name, "wordpress") for name in ("wordpress-db-1", "wordpress-wordpress-1")}
    blog.operator.kill()
    reach_as(blog.neighbour, _OVER_IPV6, "wordpress-wordpress-1", NEIGHBOUR_ADDRESS)
    _service(blog, "late")
    blog.start()
    _attached(blog, "wordpress-db-1", "wordpress-late-1", "wordpress-wordpress-1")
    assert {name: blog.address(name, "wordpress") for name in before} == before
    # attachments from before the restart are still recognised as ours
    blog.operator.apply_yaml(_FILE, _blog(**{_SERVICE: "late"}))
    _attached(blog, "wordpress-late-1")
    blog.remove("wordpress-late-1")


def test_a_deleted_resource_leaves_the_stack_unchanged(blog: Site) -> None:
    blog.operator.remove_yaml(_FILE)
    blog.operator.wait_deleted("ipv6network/wordpress")
    assert network_id(blog.engine, "wordpress") is None
    _stack_works(blog)
    assert _ipv4_gateway(blog, "wordpress-wordpress-1") == _STACK
    assert not ping(blog.engine, "wordpress-wordpress-1", FAR_ADDRESS, deadline=1)


def test_a_stack_that_starts_after_its_resource_is_attached(site: Site) -> None:
    site.engine.docker("stop", "-t", "0", "wordpress-db-1", "wordpress-wordpress-1")
    site.operator.apply_yaml(_FILE, _blog())
    assert site.wait_for_reason("wordpress", "NetworkReady", "NoMember")["status"] == "Unknown"
    site.engine.docker("start", "wordpress-db-1", "wordpress-wordpress-1")
    _attached(site, "wordpress-db-1", "wordpress-wordpress-1")
    site.operator.wait_ready("ipv6network/wordpress")
    reach_as(site.neighbour, _OVER_IPV6, "wordpress-wordpress-1", NEIGHBOUR_ADDRESS)
    _stack_works(site)
