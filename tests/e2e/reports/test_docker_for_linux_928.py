"""A VPS has one on-link /64, and its containers are to have addresses of it; the author needs an NDP proxy.

Source: docker/for-linux#928.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_yaml
from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS
from tests.lab.probe import Port, ask

if TYPE_CHECKING:
    from tests.lab.lab import Lab

_PART = f"{HOST_ADDRESS.rpartition('::')[0]}:5::/80"
_ANSWERED = {"ndpProxy": {"enabled": True}, "egress": {"mode": "Routed"}}


@pytest.mark.core_cells("20.10-off", "28.5")
def test_a_subnet_of_the_hosts_own_link_names_the_ndp_proxy_and_works_with_it(lab: Lab) -> None:
    operator = lab.operator()
    spec = {"addressing": {"subnet": _PART}, "firewall": {"ingress": [{"ports": [{"port": 80}]}]}}
    operator.apply_yaml("vps.yaml", network_yaml("vps", {**spec, "firewall": {}}))
    operator.start()
    eventually(has_condition(operator, "vps", "SubnetAllocated", "False", "SubnetOverlap"), "it is refused")
    found = condition(operator, "vps", "Ready")
    assert found is not None
    assert "set spec.ndpProxy: {enabled: true} and spec.egress: {mode: Routed}" in found["message"]
    operator.apply_yaml("vps.yaml", network_yaml("vps", {**spec, **_ANSWERED}))
    operator.wait_ready("ipv6network/vps")
    lab.engine.run("web", "vps", command=("responder", "tcp/80"))
    address = lab.engine.container_addresses("web", "vps")["6"]

    def seen() -> bool:
        answer = ask(lab.neighbour.namespace.path, Port("tcp", address, 80), patience=0.3)
        return answer is not None and (answer.name, str(answer.client)) == ("web", NEIGHBOUR_ADDRESS)

    eventually(seen, "a neighbour without a route reaches the container")


@pytest.mark.core_cells("28.5")
def test_unique_local_addresses_that_leave_untranslated_are_doubtful(lab: Lab) -> None:
    operator = lab.operator()
    operator.apply_yaml("ula.yaml", network_yaml("ula", {"egress": {"mode": "Routed"}}))
    operator.start()
    eventually(has_condition(operator, "ula", "HostReady", "Unknown", "NoReturnRoute"), "it is doubtful")
    found = condition(operator, "ula", "HostReady")
    assert found is not None
    assert "egress.mode: Masquerade" in found["message"]
