"""geerlingguy/internet-pi#348: a Compose stack must get IPv6 although its network can't be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_yaml

if TYPE_CHECKING:
    from tests.lab.lab import Lab

_PROJECT = "com.docker.compose.project"
_REMEDY = f"set spec.members: {{matchLabels: {{{_PROJECT}: monitoring}}}}"


@pytest.mark.core_cells("28.5")
def test_a_network_without_ipv6_leads_to_members(lab: Lab) -> None:
    label = f"{_PROJECT}=monitoring"
    lab.engine.docker("network", "create", "--label", label, "monitoring_default")
    lab.engine.run("grafana", "monitoring_default", labels={_PROJECT: "monitoring"})
    operator = lab.operator()
    operator.apply_yaml("pi.yaml", network_yaml("pi", {"networkName": "monitoring_default"}))
    operator.start()
    eventually(has_condition(operator, "pi", "NetworkReady", "False", "ForeignNetwork"), "it is somebody else's")
    assert _REMEDY in str(condition(operator, "pi", "Ready"))
    observe = {"networkName": "monitoring_default", "managementPolicy": "Observe"}
    operator.apply_yaml("pi.yaml", network_yaml("pi", observe))
    eventually(has_condition(operator, "pi", "NetworkReady", "False", "NoIPv6"), "it has no IPv6")
    assert _REMEDY in str(condition(operator, "pi", "Ready"))
    operator.apply_yaml("pi.yaml", network_yaml("pi", {"members": {"matchLabels": {_PROJECT: "monitoring"}}}))
    operator.wait_ready("ipv6network/pi")
    eventually(lambda: lab.engine.container_addresses("grafana", "pi")["6"], "the stack has IPv6")
