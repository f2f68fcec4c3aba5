"""Deletions wait for containers, are resumed after a restart of the operator, and never happen by accident."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import (
    condition,
    eventually,
    forwarding,
    has_condition,
    network_id,
    network_yaml,
    our_table,
    resource,
    subnet_of,
)
from tests.lab.net import FAR_ADDRESS, ping

if TYPE_CHECKING:
    from tests.lab.lab import Lab
    from tests.lab.operator import Operator

pytestmark = pytest.mark.core_cells("28.5")


def _started(lab: Lab, *names: str) -> Operator:
    operator = lab.operator()
    operator.start()
    for name in names:
        operator.apply_yaml(f"{name}.yaml", network_yaml(name))
    for name in names:
        operator.wait_ready(f"ipv6network/{name}")
    return operator


@pytest.mark.core_cells("20.10-off", "28.5")
def test_a_network_is_removed_once_its_containers_are_gone(lab: Lab) -> None:
    engine, operator = lab.engine, _started(lab, "blog")
    container = engine.run("web", "blog")
    operator.remove_yaml("blog.yaml")
    eventually(
        lambda: (condition(operator, "blog", "Ready") or {}).get("reason") == "Deleting", "the deletion is visible"
    )
    waits = condition(operator, "blog", "Reconciling")
    assert waits is not None
    assert waits["reason"] == "EndpointsAttached"
    assert "web" in waits["message"]
    assert ping(engine, container, FAR_ADDRESS)
    engine.client().remove_container(container, force=True)
    eventually(lambda: network_id(engine, "blog") is None, "the network is removed")
    operator.wait_deleted("ipv6network/blog")
    eventually(lambda: "blog" not in our_table(engine), "its rules are removed")


def test_resources_deleted_while_the_operator_was_down_are_cleaned_up(lab: Lab) -> None:
    engine, operator = lab.engine, _started(lab, "blog", "shop")
    operator.stop()
    operator.remove_yaml("blog.yaml")
    operator.start()
    eventually(lambda: network_id(engine, "blog") is None, "the network is removed")
    eventually(lambda: "blog" not in our_table(engine), "its rules are removed")
    assert network_id(engine, "shop")


def test_networks_without_a_resource_stay_after_the_state_was_lost_until_a_confirmation(lab: Lab) -> None:
    engine, operator = lab.engine, _started(lab, "blog", "shop")
    subnet = subnet_of(engine, "shop")
    operator.stop()
    operator.remove_yaml("blog.yaml")
    shutil.rmtree(operator.state_dir)
    operator.start()
    operator.wait_ready("ipv6network/shop")
    eventually(lambda: "blog" in operator.cli("prune").stdout, "the removal is held")
    assert network_id(engine, "blog")
    operator.cli("prune", "--confirm")
    eventually(lambda: network_id(engine, "blog") is None, "the network is removed")
    eventually(lambda: "blog" not in our_table(engine), "its rules are removed")
    assert subnet_of(engine, "shop") == subnet


def test_an_orphaned_network_is_kept_and_its_rules_are_removed(lab: Lab) -> None:
    engine, operator = lab.engine, _started(lab)
    operator.apply_yaml("blog.yaml", network_yaml("blog", {"deletionPolicy": "Orphan"}))
    operator.wait_ready("ipv6network/blog")
    before = network_id(engine, "blog")
    operator.remove_yaml("blog.yaml")
    operator.wait_deleted("ipv6network/blog")
    assert "blog" not in our_table(engine)
    operator.stop()
    operator.start()
    operator.apply_yaml("other.yaml", network_yaml("other"))
    operator.wait_ready("ipv6network/other")
    assert network_id(engine, "blog") == before


def test_an_unreadable_source_prunes_nothing(lab: Lab) -> None:
    engine, operator = lab.engine, _started(lab, "blog")
    kept = operator.config_dir.with_name("elsewhere")
    operator.config_dir.rename(kept)
    eventually(lambda: "SourceUnavailable" in operator.cli("events").stdout, "the lost source is reported")
    operator.config_dir.mkdir()  # an empty directory in its place, as after unmounting a volume
    operator.stop()
    operator.start()
    eventually(has_condition(operator, "blog", "Ready", "False", "SourceUnavailable"), "what is kept says why")
    operator.cli("wait", "ipv6network/blog", "--for=condition=NetworkReady", "--timeout=60s")
    assert network_id(engine, "blog")
    operator.config_dir.rmdir()
    kept.rename(operator.config_dir)
    operator.wait_ready("ipv6network/blog")
    operator.remove_yaml("blog.yaml")
    eventually(lambda: network_id(engine, "blog") is None, "removing the last file by hand prunes")


def test_a_mass_deletion_waits_for_confirmation(lab: Lab) -> None:
    names = ["one", "two", "three", "four", "five"]
    engine, operator = lab.engine, _started(lab, *names)
    for name in names[:4]:
        operator.remove_yaml(f"{name}.yaml")
    eventually(has_condition(operator, "one", "PruneHeld", "True", "PruneHeld"), "the deletion is held")
    assert all(network_id(engine, name) for name in names)
    assert "one" in operator.cli("prune").stdout
    operator.cli("prune", "--confirm")
    eventually(lambda: [n for n in names if network_id(engine, n)] == ["five"], "they are removed")


def test_sysctls_are_restored_when_nothing_needs_them(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    engine.netexec("sysctl", "-w", "net.ipv6.conf.all.forwarding=0")
    operator.start()
    operator.apply_yaml("blog.yaml", network_yaml("blog"))
    operator.wait_ready("ipv6network/blog")
    assert forwarding(engine) == "1"
    operator.remove_yaml("blog.yaml")
    operator.wait_deleted("ipv6network/blog")
    eventually(lambda: forwarding(engine) == "0", "forwarding is restored")


def test_a_resource_that_moves_to_another_file_is_not_changed(lab: Lab) -> None:
    engine, operator = lab.engine, _started(lab, "blog")
    before, generation = network_id(engine, "blog"), resource(operator, "blog")["metadata"]["generation"]
    operator.remove_yaml("blog.yaml")
    operator.apply_yaml("renamed.yaml", network_yaml("blog"))
    operator.apply_yaml("other.yaml", network_yaml("other"))
    operator.wait_ready("ipv6network/other")
    assert network_id(engine, "blog") == before
    assert resource(operator, "blog")["metadata"]["generation"] == generation
