"""macvlan and ipvlan networks: containers are on the link of the host's interface, outside its bridges and filter."""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import TYPE_CHECKING

import pytest
from docker.errors import APIError

from tests.e2e.cluster import (
    condition,
    eventually,
    has_condition,
    network_id,
    network_yaml,
    our_table,
    pool_yaml,
    resource,
    subnet_of,
)
from tests.lab.net import FAR_ADDRESS, HOST_ADDRESS, NEIGHBOUR_ADDRESS, UPLINK, ping
from tests.lab.probe import Port, reach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.lab.engine import Engine
    from tests.lab.lab import Lab

pytestmark = pytest.mark.cells("20.10-off", "28.5")

LAN = "2001:db8:0:1::/64"  # of the host's uplink and the neighbour
ON_THE_LAN = {"subnet": LAN, "gateway": NEIGHBOUR_ADDRESS, "reserved": [HOST_ADDRESS]}
LAN_NETWORK = {"driver": "macvlan", "options": {"parent": UPLINK}, "addressing": ON_THE_LAN}
BEHIND = "fd12:3456:789a:3::/64"  # not part of the LAN: the neighbour has a route to it
POOL = "fd12:3456:789a::/60"
SECOND = "lan1"  # an interface that does not exist at first
RESPONDER = ("responder", "tcp/80")


def run(lab: Lab, name: str, network: str) -> str:
    """Start a container that answers; return its address."""
    lab.engine.run(name, network, command=RESPONDER)
    return lab.engine.container_addresses(name, network)["6"]


def answers(lab: Lab, address: str, name: str, client: str) -> None:
    """Check that the neighbour reaches the container, which sees the neighbour's own address."""
    found = reach(lab.neighbour.namespace.path, Port("tcp", address, 80), name=name)
    assert str(found.client) == client


def plug(lab: Lab, name: str) -> None:
    """Connect the host and the neighbour by an additional link."""
    there = lab.neighbour.namespace
    there.exec(*f"ip link add {name} up type veth peer name {name} netns {lab.engine.netns}".split())
    lab.engine.netexec("ip", "link", "set", name, "up")


def live_at(lab: Lab, name: str, address: str) -> None:
    """Give the neighbour an address on a link."""
    lab.neighbour.exec(*f"ip address add {address} dev {name} nodad".split())


def test_a_container_on_macvlan_is_a_host_of_the_lan(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("lan.yaml", network_yaml("lan", LAN_NETWORK))
    operator.wait_ready("v6net/lan")
    assert resource(operator, "lan")["status"]["subnet"] == LAN
    address = run(lab, "web", "lan")
    answers(lab, address, "web", NEIGHBOUR_ADDRESS)
    assert lab.neighbour.seen_as(engine, "web", target=FAR_ADDRESS) == address
    assert "2001:db8:0:1" not in our_table(engine)
    before = network_id(engine, "lan")
    operator.cli("plan")
    operator.apply_yaml("lan.yaml", network_yaml("lan", {**LAN_NETWORK, "publish": {"fromContainers": True}}))
    eventually(has_condition(operator, "lan", "Accepted", "False", "InvalidSpec"), "fields without effect are refused")
    answers(lab, address, "web", NEIGHBOUR_ADDRESS)
    operator.remove_yaml("lan.yaml")
    eventually(
        lambda: (condition(operator, "lan", "Reconciling") or {}).get("reason") == "EndpointsAttached",
        "it waits for the container",
    )
    assert network_id(engine, "lan") == before
    engine.docker("rm", "-f", "web")
    operator.wait_deleted("v6net/lan")
    assert network_id(engine, "lan") is None


def test_a_parent_may_appear_late_and_disappear_and_return(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    operator.apply_yaml("pool.yaml", pool_yaml("lans", {"prefix": POOL}))
    spec = {"driver": "macvlan", "options": {"parent": SECOND}, "addressing": {"poolRef": {"name": "lans"}}}
    operator.apply_yaml("second.yaml", network_yaml("second", spec))
    eventually(has_condition(operator, "second", "Ready", "False", "ParentNotReady"), "the missing parent is reported")
    missed = condition(operator, "second", "NetworkReady")
    assert missed is not None
    assert f"there is no interface {SECOND}" in missed["message"]
    assert network_id(engine, "second") is None
    plug(lab, SECOND)
    operator.wait_ready("v6net/second")
    subnet = IPv6Network(subnet_of(engine, "second"))
    assert subnet.subnet_of(IPv6Network(POOL))
    router = f"{subnet[1]}"
    live_at(lab, SECOND, f"{router}/64")
    before, address = network_id(engine, "second"), run(lab, "web", "second")
    answers(lab, address, "web", router)
    engine.netexec("ip", "link", "delete", SECOND)
    eventually(has_condition(operator, "second", "Ready", "False", "ParentNotReady"), "the removed parent is reported")
    assert network_id(engine, "second") == before
    plug(lab, SECOND)
    live_at(lab, SECOND, f"{router}/64")
    operator.wait_ready("v6net/second")
    assert network_id(engine, "second") == before
    # engines recreate the interface of a running container only when it is attached again
    engine.docker("network", "disconnect", "second", "web")
    engine.docker("network", "connect", "second", "web")
    assert engine.container_addresses("web", "second")["6"] == address
    answers(lab, address, "web", router)


@pytest.mark.parametrize(
    ("mode", "addressing", "inside"),
    [("l2", ON_THE_LAN, "2001:db8:0:1::3"), ("l3", {"subnet": BEHIND}, "fd12:3456:789a:3::2")],
    ids=["l2", "l3"],
)
def test_containers_on_ipvlan_are_reached_where_the_kernel_has_it(
    lab: Lab, mode: str, addressing: Mapping[str, object], inside: str
) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    spec = {"driver": "ipvlan", "options": {"parent": UPLINK, "ipvlan_mode": mode}, "addressing": addressing}
    operator.apply_yaml("lan.yaml", network_yaml("lan", spec))
    operator.wait_ready("v6net/lan")
    assert subnet_of(engine, "lan") == addressing["subnet"]
    if not makes_ipvlan(engine):
        # some kernels have no ipvlan; the network exists nevertheless
        with pytest.raises(APIError, match="failed to create the ipvlan port: operation not supported"):
            run(lab, "web", "lan")
        return
    lab.neighbour.add_route(BEHIND)
    address = run(lab, "web", "lan")
    assert address == inside
    answers(lab, address, "web", NEIGHBOUR_ADDRESS)
    assert ping(engine, "web", FAR_ADDRESS)
    lab.neighbour.remove_route(BEHIND)


def makes_ipvlan(engine: Engine) -> bool:
    """Whether the kernel supports ipvlan."""
    made = engine.netexec(*f"ip link add link {UPLINK} name probe type ipvlan mode l2".split(), check=False)
    if made.returncode != 0:
        assert "Unknown device type" in made.stderr
        return False
    engine.netexec("ip", "link", "delete", "probe")
    return True


@pytest.mark.cells("28.5")
def test_a_foreign_macvlan_network_is_reported_and_not_changed(lab: Lab) -> None:
    engine, operator = lab.engine, lab.operator()
    operator.start()
    options = ("--gateway", NEIGHBOUR_ADDRESS, "-o", f"parent={UPLINK}")
    engine.docker("network", "create", "-d", "macvlan", "--ipv6", "--subnet", LAN, *options, "theirs")
    before = network_id(engine, "theirs")
    operator.apply_yaml("theirs.yaml", network_yaml("theirs", {"managementPolicy": "Observe"}))
    operator.wait_ready("v6net/theirs")
    assert resource(operator, "theirs")["status"]["subnet"] == LAN
    assert "2001:db8:0:1" not in our_table(engine)
    vain = {"managementPolicy": "Observe", "egress": {"mode": "Masquerade"}}
    operator.apply_yaml("theirs.yaml", network_yaml("theirs", vain))
    eventually(
        has_condition(operator, "theirs", "FirewallReady", "Unknown", "FirewallBlocked"),
        "the fields without effect are reported",
    )
    reported = condition(operator, "theirs", "FirewallReady")
    assert reported is not None
    assert "spec.egress.mode has no effect on Docker network theirs" in reported["message"]
    assert network_id(engine, "theirs") == before
