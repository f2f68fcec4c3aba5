"""Labels in Compose files: a network chooses its policy, a service becomes a member, and no label is ignored silently.

The stacks are those of the real Docker Compose v2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually, network_id, network_yaml, policy_yaml
from tests.e2e.site import RESPONDER, Site, exclusive_site, published, reach_as
from tests.e2e.test_image_labels import image_with
from tests.lab.compose import Stack
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, NEIGHBOUR_ADDRESS, UPLINK, ping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.cells import Cell
    from tests.lab.lab import EnginePool, Lab

pytestmark = pytest.mark.cells("20.10-off", "28.5")

_SECOND_ADDRESS = "2001:db8:0:1::4"
_NOT_A_SOURCE = ("nodad", "preferred_lft", "0", "valid_lft", "forever")
_PLAIN = {"selector": {"prefixes": ["fc00::/7"]}}
_SECOND = {
    "selector": {"matchLabels": {"dockerv6.io/policy": "second"}},
    "egress": {"mode": "SNAT", "snatAddress": _SECOND_ADDRESS},
}
_IPV6 = "enable_ipv6: true, ipam: {config: [{subnet: '%s'}]}"
_NETWORKS = f"""
services:
  one: {{hostname: one, image: busybox:test, command: {list(RESPONDER)}, networks: [chosen], ports: ["8001:80"]}}
  two: {{hostname: two, image: busybox:test, command: {list(RESPONDER)}, networks: [other], ports: ["8002:80"]}}
networks:
  chosen: {{{_IPV6 % "fd12:3456:789a:31::/64"}, labels: {{dockerv6.io/policy: second}}}}
  other: {{{_IPV6 % "fd12:3456:789a:32::/64"}}}
"""
_MEMBER = f"""
services:
  web:
    image: busybox:test
    hostname: web
    command: {list(RESPONDER)}
    ports: ["8003:80"]
    labels: {{dockerv6.io/network: blog}}
  db: {{image: busybox:test, command: {list(RESPONDER)}}}
  built: {{image: labelled:test, command: {list(RESPONDER)}}}
"""
_WRONG = """
services:
  web:
    image: busybox:test
    command: [sleep, "3600"]
    labels: {dockerv6.io/network: blgo, dockerv6.io/policy: plain, dockerv6.io/netwrok: blog}
networks:
  default:
    labels: {dockerv6.io/policy: "", dockerv6.io/network: blog}
"""


@pytest.fixture(scope="module")
def site(cell: Cell, engine_pool: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host with a second address, two policies and a network."""
    with exclusive_site(engine_pool, cell.settings, tmp_path_factory.mktemp("site")) as site:
        site.engine.netexec("ip", "address", "add", f"{_SECOND_ADDRESS}/64", "dev", UPLINK, *_NOT_A_SOURCE)
        try:
            site.operator.apply_yaml("plain.yaml", policy_yaml("plain", _PLAIN))
            site.operator.apply_yaml("second.yaml", policy_yaml("second", _SECOND))
            site.operator.apply_yaml("blog.yaml", network_yaml("blog", {}))
            site.start()
            site.operator.wait_ready("ipv6network/blog")
            yield site
        finally:
            site.engine.netexec("ip", "address", "del", f"{_SECOND_ADDRESS}/64", "dev", UPLINK)


@pytest.fixture(autouse=True)
def _logs(site: Site, report_logs_of: Callable[[Lab], None]) -> None:
    report_logs_of(site.lab)


@pytest.fixture
def compose(site: Site) -> Iterator[Callable[[str, str], Stack]]:
    """Bring a stack up for one test."""
    stacks: list[Stack] = []

    def up(name: str, text: str) -> Stack:
        stack = Stack(site.engine, site.lab.directory / name, name)
        stack.write(text)
        stacks.append(stack)
        stack.up()
        return stack

    yield up
    for stack in stacks:
        stack.compose("down", "--timeout", "0")


def _members(site: Site) -> set[str]:
    found = site.engine.client().inspect_network("blog")["Containers"].values()
    return {each["Name"] for each in found}


def _warnings(site: Site) -> list[str]:
    """The labels that `get` warns of, without the reasons."""
    lines = site.operator.cli("get", "all").stderr.splitlines()
    return [line.partition(" has no effect: ")[0].removeprefix("Warning: ") for line in lines if "label" in line]


def _wait_warned(site: Site, *labels: str) -> None:
    eventually(lambda: _warnings(site) == sorted(labels), f"`get` warns of {labels}")


def test_a_compose_network_gets_the_policy_of_its_label(site: Site, compose: Callable[[str, str], Stack]) -> None:
    stack = compose("shop", _NETWORKS)
    for service, port, source in (("one", 8001, _SECOND_ADDRESS), ("two", 8002, HOST_ADDRESS)):
        container = stack.container(service)

        def seen_as(container: str = container, source: str = source) -> bool:
            return site.lab.neighbour.seen_as(site.engine, container) == source

        eventually(seen_as, f"{container} is seen as {source}")
        reach_as(site.neighbour, published(port), service, NEIGHBOUR_ADDRESS)
    matched = {name: [each["name"] for each in site.status(name)["matched"]] for name in ("plain", "second")}
    assert matched == {"plain": ["shop_other"], "second": ["shop_chosen"]}
    # without the policy, another one that matches applies, and the label is reported
    site.operator.remove_yaml("second.yaml")
    _wait_warned(site, "Docker network shop_chosen: label 'dockerv6.io/policy=second'")
    assert site.lab.neighbour.seen_as(site.engine, stack.container("one")) == HOST_ADDRESS
    site.operator.apply_yaml("second.yaml", policy_yaml("second", _SECOND))
    _wait_warned(site)
    assert site.lab.neighbour.seen_as(site.engine, stack.container("one")) == _SECOND_ADDRESS


def test_a_service_becomes_a_member_by_its_label_as_long_as_the_resource_allows_it(
    site: Site, compose: Callable[[str, str], Stack]
) -> None:
    image_with(site, "labelled:test", {"dockerv6.io/network": "blog"})
    stack = compose("forum", _MEMBER)
    web, of_image = stack.container("web"), f"container {stack.container('built')}: label 'dockerv6.io/network=blog'"
    eventually(lambda: _members(site) == {web}, "only the service with the label is attached")
    eventually(lambda: ping(site.engine, web, FAR_ADDRESS, deadline=1), "it reaches the outside")
    assert site.lab.neighbour.seen_as(site.engine, web) == HOST_ADDRESS
    assert not ping(site.engine, stack.container("db"), FAR_ADDRESS, deadline=1)
    reach_as(site.neighbour, published(8003), "web", NEIGHBOUR_ADDRESS)
    _wait_warned(site, of_image)
    stack.up("--force-recreate", "web")
    eventually(lambda: _members(site) == {web}, "the new container of the service is attached")
    reach_as(site.neighbour, published(8003), "web", NEIGHBOUR_ADDRESS)

    limited = {"members": {"allowedComposeProjects": ["shop"]}}
    site.operator.apply_yaml("blog.yaml", network_yaml("blog", limited))
    eventually(lambda: _members(site) == set(), "it is detached")
    _wait_warned(site, of_image, f"container {web}: label 'dockerv6.io/network=blog'")
    assert "allows only the Compose project shop" in site.operator.cli("events").stdout
    site.operator.apply_yaml("blog.yaml", network_yaml("blog", {"members": {"allowedComposeProjects": ["forum"]}}))
    eventually(lambda: _members(site) == {web}, "it is attached again")
    site.operator.remove_yaml("blog.yaml")
    site.operator.wait_deleted("ipv6network/blog")
    assert network_id(site.engine, "blog") is None
    site.operator.apply_yaml("blog.yaml", network_yaml("blog", {}))
    eventually(lambda: network_id(site.engine, "blog") and _members(site) == {web}, "it is attached to the new one")


def test_labels_without_effect_are_warned_of_until_they_are_gone(
    site: Site, compose: Callable[[str, str], Stack]
) -> None:
    stack = compose("wrong", _WRONG)
    web = stack.container("web")
    _wait_warned(
        site,
        "Docker network wrong_default: label 'dockerv6.io/network=blog'",
        "Docker network wrong_default: label 'dockerv6.io/policy='",
        f"container {web}: label 'dockerv6.io/netwrok=blog'",
        f"container {web}: label 'dockerv6.io/network=blgo'",
        f"container {web}: label 'dockerv6.io/policy=plain'",
    )
    for word in ("did you mean blog?", "did you mean dockerv6.io/network?", "a name can't be empty"):
        for command in ("events", "doctor", "plan"):
            assert word in site.operator.cli(command, check=False).stdout, (command, word)
    checks = site.operator.cli("doctor", check=False).stdout.splitlines()
    assert not [line for line in checks if "label" in line and "fail" in line.lower()]
    assert site.operator.cli("healthcheck", "--ready").returncode == 0
    assert site.operator.cli("apply", check=False).stderr.count("Warning: ") == 5
    site.operator.wait_ready("ipv6network/blog")
    stack.compose("down", "--timeout", "0")
    _wait_warned(site)
