"""moby/moby#45402: fixed addresses in a subnet larger than a /64 must be those that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_yaml, wait_no_changes

if TYPE_CHECKING:
    from tests.lab.lab import Lab

_LARGE, _FAR, _NEAR = "fd00:45:402::/48", "fd00:45:402:5::9", "fd00:45:402::9"
_RANGE = {"subnet": "fd00:45:402::/64", "ipRange": "fd00:45:402::8000/113"}


@pytest.mark.cells("20.10-off")
def test_an_old_engine_that_changes_addresses_is_named_before_and_after(lab: Lab) -> None:
    operator = lab.operator()
    operator.apply_yaml("big.yaml", network_yaml("big", {"addressing": {"subnet": _LARGE}}))
    operator.start()
    eventually(has_condition(operator, "big", "NetworkReady", "Unknown", "EngineTooOld"), "it is a warning")
    lab.engine.run("web", "big", address=_FAR)
    assert lab.engine.container_addresses("web", "big")["6"] == _NEAR  # silently
    eventually(has_condition(operator, "big", "NetworkReady", "False", "EngineTooOld"), "now it is wrong")
    found = condition(operator, "big", "Ready")
    assert found is not None
    assert f"web asked for {_FAR} and has {_NEAR}" in found["message"]
    assert "set addressing.subnet: fd00:45:402::/64" in found["message"]
    lab.engine.docker("rm", "-f", "web")
    operator.apply_yaml("big.yaml", network_yaml("big", {"addressing": {"subnet": "fd00:45:402::/64"}}))
    eventually(has_condition(operator, "big", "NetworkReady", "True", "InSync"), "the remedy works")


@pytest.mark.cells("28.5")
def test_a_new_engine_gives_the_address_that_is_asked_for(lab: Lab) -> None:
    operator = lab.operator()
    operator.apply_yaml("big.yaml", network_yaml("big", {"addressing": {"subnet": _LARGE}}))
    operator.start()
    operator.wait_ready("ipv6network/big")
    lab.engine.run("web", "big", address=_FAR)
    assert lab.engine.container_addresses("web", "big")["6"] == _FAR
    eventually(has_condition(operator, "big", "NetworkReady", "True", "InSync"), "there is no finding")


@pytest.mark.core_cells("20.10-off", "28.5")
def test_a_range_for_the_engine_leaves_the_rest_to_fixed_addresses(lab: Lab) -> None:
    operator = lab.operator()
    operator.apply_yaml("mail.yaml", network_yaml("mail", {"addressing": _RANGE, "updateStrategy": "Recreate"}))
    operator.start()
    operator.wait_ready("ipv6network/mail")
    lab.engine.run("dynamic", "mail")
    lab.engine.run("fixed", "mail", address="fd00:45:402::2")
    first = lab.engine.container_addresses("dynamic", "mail")["6"]
    assert first.startswith("fd00:45:402::8")
    assert lab.engine.container_addresses("fixed", "mail")["6"] == "fd00:45:402::2"
    operator.apply_yaml(
        "mail.yaml", network_yaml("mail", {"addressing": _RANGE, "updateStrategy": "Recreate", "labels": {"new": "1"}})
    )
    eventually(lambda: lab.engine.client().inspect_network("mail")["Labels"].get("new"), "it is recreated")
    operator.wait_ready("ipv6network/mail")
    eventually(lambda: lab.engine.container_addresses("dynamic", "mail")["6"] == first, "addresses stay")
    wait_no_changes(operator)
