"""docker/for-linux#928: a container with an address of the host's own /64 must be reached from outside."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_yaml
from tests.lab.net import HOST_ADDRESS, NEIGHBOUR_ADDRESS
from tests.lab.probe import Port, ask

if TYPE_CHECKING:
    from tests.e2e.provider import Premises
    from tests.lab.lab import Lab

_LINK = "2001:db8:928:f44f::/64"
_CONTAINERS = "2001:db8:928:f44f:ff::/80"
_PART = f"{HOST_ADDRESS.rpartition('::')[0]}:5::/80"
_ANSWERED = {"ndpProxy": {"enabled": True}, "egress": {"mode": "Routed"}}


@pytest.mark.core_cells("28.5")
def test_a_container_with_an_address_of_the_link_is_reached(premises: Premises) -> None:
    premises.configure_static_uplink(_LINK)
    premises.start()
    premises.network(
        "web",
        {
            "addressing": {"subnet": _CONTAINERS},
            "egress": {"mode": "Routed"},
            "ndpProxy": {"enabled": True},
            "firewall": {"ingress": [{"ports": [{"port": 80}]}]},
        },
    )
    premises.run("web-928", "web")
    address = premises.address("web-928", "web")
    assert IPv6Address(address) in IPv6Network(_CONTAINERS)

    for place in (premises.router, premises.internet):
        premises.assert_reachable(place, address, "web-928")
    assert premises.provider.ping_from_internet(address)
    assert premises.provider.seen_as(premises.engine, "web-928") == address
    premises.assert_refused(premises.internet, address, 81)


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
