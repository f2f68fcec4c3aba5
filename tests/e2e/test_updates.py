"""Changes of a resource: Docker networks can't be edited, so they are recreated according to `updateStrategy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_id, network_yaml, subnet_of, wait_no_changes
from tests.lab.net import FAR_ADDRESS, ping

if TYPE_CHECKING:
    from tests.lab.lab import Lab

_FIRST = {"addressing": {"subnet": "fd12:3456:789a:1::/64"}}
_SECOND = {"addressing": {"subnet": "fd12:3456:789a:2::/64"}}

# 20.10-on differs from 20.10-off in its IPv6 rules only, and these tests do not depend on them
pytestmark = pytest.mark.core_cells("20.10-off", "28.5")


def test_when_idle_waits_for_containers_to_leave(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog", _FIRST))
    operator.wait_ready("ipv6network/blog")
    container = engine.run("web", "blog")
    operator.apply_yaml("blog.yaml", network_yaml("blog", _SECOND))
    eventually(has_condition(operator, "blog", "Ready", "False", "RecreateBlocked"), "it waits")
    waiting = condition(operator, "blog", "NetworkReady")
    assert waiting is not None
    assert "web" in waiting["message"]
    assert subnet_of(engine, "blog") == "fd12:3456:789a:1::/64"
    assert ping(engine, container, FAR_ADDRESS)
    engine.docker("stop", "-t", "0", container)
    eventually(lambda: subnet_of(engine, "blog") == "fd12:3456:789a:2::/64", "it is recreated")
    operator.wait_ready("ipv6network/blog")
    engine.docker("start", container)
    assert ping(engine, container, FAR_ADDRESS)


def test_recreate_attaches_containers_again(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog", {**_FIRST, "updateStrategy": "Recreate"}))
    operator.wait_ready("ipv6network/blog")
    web = engine.run("web", "blog", aliases=["www"], address="fd12:3456:789a:1::80")
    db = engine.run("db", "blog")
    operator.apply_yaml(
        "blog.yaml", network_yaml("blog", {**_FIRST, "updateStrategy": "Recreate", "bridge": {"mtu": 1400}})
    )
    eventually(
        lambda: engine.client().inspect_network("blog")["Options"].get("com.docker.network.driver.mtu") == "1400",
        "it is recreated",
    )
    operator.wait_ready("ipv6network/blog")
    assert engine.container_addresses(web, "blog")["6"] == "fd12:3456:789a:1::80"
    endpoint = engine.client().inspect_container(web)["NetworkSettings"]["Networks"]["blog"]
    assert "www" in endpoint["Aliases"]
    assert ping(engine, web, FAR_ADDRESS)
    assert ping(engine, db, FAR_ADDRESS)


@pytest.mark.core_cells("28.5")
def test_update_strategy_never_only_reports(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog", {**_FIRST, "updateStrategy": "Never"}))
    operator.wait_ready("ipv6network/blog")
    before = network_id(engine, "blog")
    operator.apply_yaml("blog.yaml", network_yaml("blog", {**_SECOND, "updateStrategy": "Never"}))
    eventually(has_condition(operator, "blog", "NetworkReady", "False", "RecreateBlocked"), "it is reported")
    assert network_id(engine, "blog") == before


@pytest.mark.core_cells("28.5")
def test_suspend_changes_nothing(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    operator.apply_yaml("blog.yaml", network_yaml("blog", {"suspend": True, "bridge": {"mtu": 1400}}))
    eventually(lambda: (condition(operator, "blog", "Ready") or {}).get("reason") == "Suspended", "it is suspended")
    container = engine.run("web", "blog")
    assert ping(engine, container, FAR_ADDRESS)
    engine.client().remove_container(container, force=True)
    engine.docker("network", "rm", "blog")
    operator.apply_yaml("other.yaml", network_yaml("other"))
    operator.wait_ready("ipv6network/other")
    assert network_id(engine, "blog") is None
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    eventually(lambda: network_id(engine, "blog"), "it is reconciled again")


def test_an_observed_network_gets_nat_and_is_not_changed(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("theirs.yaml", network_yaml("theirs", {"managementPolicy": "Observe"}))
    eventually(has_condition(operator, "theirs", "NetworkReady", "False", "NetworkNotFound"), "it waits for it")
    engine.docker("network", "create", "--ipv6", "--subnet", "fd12:3456:789a:9::/64", "theirs")
    before = network_id(engine, "theirs")
    operator.wait_ready("ipv6network/theirs")
    container = engine.run("web", "theirs")
    assert ping(engine, container, FAR_ADDRESS)
    operator.remove_yaml("theirs.yaml")
    operator.wait_deleted("ipv6network/theirs")
    assert network_id(engine, "theirs") == before


@pytest.mark.cells("28.5")
def test_a_network_without_ipv4(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("six.yaml", network_yaml("six", {"ipv4": {"enabled": False}}))
    operator.wait_ready("ipv6network/six")
    container = engine.run("web", "six")
    assert engine.container_addresses(container, "six")["4"] == ""
    assert ping(engine, container, FAR_ADDRESS)


@pytest.mark.cells("20.10-off")
def test_a_field_that_needs_a_newer_engine_sets_a_condition(lab: Lab) -> None:
    operator = lab.operator()
    operator.start()
    operator.apply_yaml("six.yaml", network_yaml("six", {"ipv4": {"enabled": False}}))
    eventually(has_condition(operator, "six", "Ready", "False", "EngineTooOld"), "it is reported")
    assert network_id(lab.engine, "six") is None


@pytest.mark.core_cells("20.10-off", "20.10-on", "28.5")
def test_an_internal_network_has_no_route_to_the_outside(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("db.yaml", network_yaml("db", {"internal": True}))
    operator.wait_ready("ipv6network/db")
    container = engine.run("store", "db")
    assert not ping(engine, container, FAR_ADDRESS, deadline=1)
    wait_no_changes(operator)
