"""Two installations on one host: the second one is refused, and later leaves what the first one created."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_id, network_yaml, our_table

if TYPE_CHECKING:
    from tests.lab.lab import Lab

pytestmark = pytest.mark.cells("28.5")


def test_a_second_operator_in_the_network_namespace_is_refused(lab: Lab) -> None:
    first, second = lab.operator(), lab.operator()
    first.start()
    first.apply_yaml("blog.yaml", network_yaml("blog"))
    first.wait_ready("ipv6network/blog")
    before = our_table(lab.engine)
    second.apply_yaml("shop.yaml", network_yaml("shop"))
    for command in (("run",), ("apply", "--timeout=5s"), ("uninstall", "--yes")):
        refused = second.cli(*command, check=False)
        assert refused.returncode == 1
        assert "another dockerv6 manages the rules of this network namespace" in refused.stderr
    assert "manages this network namespace" in second.cli("doctor", check=False).stdout
    assert our_table(lab.engine) == before
    assert network_id(lab.engine, "shop") is None


def test_networks_of_another_installation_are_foreign(lab: Lab) -> None:
    first, second = lab.operator(), lab.operator()
    first.start()
    for name in ("blog", "shop"):
        first.apply_yaml(f"{name}.yaml", network_yaml(name))
    for name in ("blog", "shop"):
        first.wait_ready(f"ipv6network/{name}")
    ids = network_id(lab.engine, "blog"), network_id(lab.engine, "shop")
    first.stop()
    second.start()
    second.apply_yaml("blog.yaml", network_yaml("blog"))
    second.apply_yaml("wiki.yaml", network_yaml("wiki"))
    second.wait_ready("ipv6network/wiki")
    eventually(lambda: has_condition(second, "blog", "Ready", "False", "ForeignNetwork"), "the network is foreign")
    found = condition(second, "blog", "NetworkReady")
    assert found is not None
    assert "another installation of dockerv6 created it" in found["message"]
    second.stop()
    second.cli("uninstall", "--yes")
    assert (network_id(lab.engine, "blog"), network_id(lab.engine, "shop")) == ids
    assert network_id(lab.engine, "wiki") is None
