"""The original guide: network, masquerading and clean-up by hand are replaced by one resource."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import eventually, network_id, network_yaml, our_table, resource, subnet_of
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, NEIGHBOUR_ADDRESS, ping

if TYPE_CHECKING:
    from tests.lab.lab import Lab

_SUBNET = "fd12:3456:789a:1::/64"


def test_one_resource_is_network_masquerade_and_cleanup(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("guide.yaml", network_yaml("guide", {"addressing": {"subnet": _SUBNET}}))
    operator.wait_ready("ipv6network/guide")
    assert subnet_of(engine, "guide") == _SUBNET

    container = engine.run("busy", "guide")
    assert ping(engine, container, NEIGHBOUR_ADDRESS)
    assert ping(engine, container, FAR_ADDRESS)
    assert engine.container_exec(container, "ping6", "-c", "1", "-w", "20", FAR_ADDRESS).returncode == 0
    assert lab.neighbour.seen_as(engine, container) == HOST_ADDRESS

    engine.client().remove_container(container, force=True)
    operator.remove_yaml("guide.yaml")
    eventually(lambda: network_id(engine, "guide") is None, "the network is removed")
    eventually(lambda: _SUBNET not in our_table(engine), "its rules are removed")
    operator.cli("wait", "ipv6network/guide", "--for=delete", "--timeout=60s")
    assert operator.stop() == 0


def test_an_empty_spec_gives_a_network_from_a_generated_pool(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    subnet = ipaddress.ip_network(subnet_of(engine, "blog"))
    assert subnet.prefixlen == 64
    assert subnet.subnet_of(ipaddress.ip_network("fd00::/8"))  # type: ignore[arg-type]
    container = engine.run("web", "blog")
    assert ping(engine, container, FAR_ADDRESS)
    status = resource(operator, "blog")["status"]
    assert status["subnet"] == str(subnet)
    assert status["networkID"] == network_id(engine, "blog")
    assert "blog" in operator.cli("get", "v6net").stdout
    pool = resource(operator, "default", "ipv6pool")
    assert subnet.subnet_of(ipaddress.ip_network(pool["status"]["prefixes"][0]))  # type: ignore[arg-type]


@pytest.mark.core_cells("20.10-off", "28.5")
def test_apply_converges_once_and_prints_what_it_did(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.apply_yaml("once.yaml", network_yaml("once"))
    plan = operator.cli("plan", check=False)
    assert plan.returncode == 2
    assert "create Docker network once" in plan.stdout
    assert network_id(engine, "once") is None
    assert "once" in operator.cli("apply").stdout
    container = engine.run("web", "once")
    assert ping(engine, container, FAR_ADDRESS)
    assert operator.cli("plan", check=False).returncode == 0
    engine.client().remove_container(container, force=True)
    operator.cli("uninstall", "--yes")
    assert network_id(engine, "once") is None
    assert our_table(engine) == ""
