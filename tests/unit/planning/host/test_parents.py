"""The parents of macvlan and ipvlan networks, and the findings about them."""

from dataclasses import replace
from ipaddress import IPv6Interface, IPv6Network

import pytest

from dockerv6.dockerd.model import Network, NetworkSpec, SubnetConfig
from dockerv6.hostnet.model import BridgePort, Interface, RouteProtocol
from dockerv6.planning.host.parents import (
    ineffective_findings,
    parent_findings,
    parent_of,
    shared_link,
    watched_interfaces,
)
from dockerv6.planning.inputs import HostView, NetworkIndex, Observed
from dockerv6.planning.plan import Finding
from tests.simulation.resources import network
from tests.unit.planning.scene import ENGINE_20_10, ENGINE_28, created, foreign, host, observed, route

ENGINE_27 = replace(ENGINE_28, version="27.0.3", release=(27, 0))
ENGINE_26 = replace(ENGINE_28, version="26.1.5", release=(26, 1))
ENGINE_23 = replace(ENGINE_20_10, version="23.0.1", release=(23, 0))
UPLINK = "2001:db8:0:1::/64"


def link(name: str, index: int, *, kind: str = "", up: bool = True, master: int | None = None) -> Interface:
    port = BridgePort() if master is not None else None
    return Interface(index, name, kind, up=up, mtu=1500, master=master, bridge_port=port)


def asked(driver: str = "macvlan", parent: str = "eth0", subnet: str = "fd00:5::/64", **options: str) -> NetworkSpec:
    ipam = (SubnetConfig(IPv6Network(subnet)),)
    return NetworkSpec("blog", driver, ipam=ipam, options={"parent": parent, **options})


def other(driver: str = "macvlan", parent: str = "eth0", **options: str) -> Network:
    return replace(foreign("old"), driver=driver, options={"parent": parent, **options})


def findings(
    wanted: NetworkSpec,
    *others: Network,
    view: HostView | None = None,
    live: Network | None = None,
    **changes: object,
) -> tuple[Finding, ...]:
    there = others if live is None else (*others, live)
    state: Observed = observed(networks=NetworkIndex(there), **changes)
    return parent_findings(wanted, live, replace(state, host=view if view is not None else host()))


def only(found: tuple[Finding, ...]) -> Finding:
    (finding,) = found
    assert (finding.condition, finding.reason) == ("NetworkReady", "ParentNotReady")
    assert ";" in finding.message  # what to do about it
    return finding


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_a_parent_that_is_up_gives_no_finding(driver: str) -> None:
    assert findings(asked(driver)) == ()
    made = created(asked(driver))
    assert findings(asked(driver), live=made) == ()


def test_bridges_and_networks_without_a_parent_give_no_finding() -> None:
    assert findings(NetworkSpec("blog", options={"parent": "nope0"})) == ()
    assert findings(NetworkSpec("blog", "macvlan", internal=True)) == ()


def test_a_parent_that_is_missing_blocks_and_is_waited_for() -> None:
    web = foreign("web")
    ours = link(web.bridge or "", 9, kind="bridge")
    view = host(link("lan1", 7), link("v1", 8, kind="veth", master=9), link("lo", 1), ours)
    found = only(findings(asked(parent="nope0"), web, view=view))
    assert found.blocks
    assert found.retry
    assert "there is no interface nope0 on this host" in found.message
    assert "there are: eth0, lan1)" in found.message
    assert "create the interface" in found.message


def test_unknown_interfaces_give_no_findings() -> None:
    assert findings(asked(parent="nope0"), view=HostView()) == ()


def test_the_interface_of_a_vlan_is_the_engines_to_make_where_its_base_is_up() -> None:
    assert findings(asked(parent="eth0.100")) == ()
    down = host(link("lan1", 7, up=False))
    found = only(findings(asked(parent="lan1.100"), view=down))
    assert found.blocks
    assert found.message.endswith("ip link set lan1 up")
    missing = only(findings(asked(parent="lan1.100")))
    assert missing.blocks
    assert "no interface lan1 on this host, which VLAN interface lan1.100 needs" in missing.message


@pytest.mark.parametrize("parent", ["eth0.0", "eth0.4095", "eth0.x", "eth0.1.2", ".5"])
def test_engines_make_no_other_interfaces(parent: str) -> None:
    found = only(findings(asked(parent=parent)))
    assert found.blocks
    assert "with names like eth0.100" in found.message
    there = host(link(parent, 7))
    assert findings(asked(parent=parent), view=there) == ()


def test_a_parent_that_is_down_is_unknown_since_containers_start_and_work_once_it_is_up() -> None:
    view = host(link("lan1", 7, up=False))
    found = only(findings(asked(parent="lan1"), view=view))
    assert (found.blocks, found.unknown) == (False, True)
    assert found.message.endswith("ip link set lan1 up")


@pytest.mark.parametrize(("kind", "index"), [("bridge", 7), ("bond", 7)])
def test_a_bridges_or_bonds_interface_can_have_no_containers(kind: str, index: int) -> None:
    view = host(link("up0", index, kind=kind), link("lan1", 8, master=index))
    found = only(findings(asked(parent="lan1"), view=view))
    assert found.blocks
    assert "spec.options.parent: up0" in found.message
    assert findings(asked(parent="up0"), view=view) == ()


def test_an_interface_of_a_vrf_can() -> None:
    view = host(link("red", 7, kind="vrf"), link("lan1", 8, master=7))
    assert findings(asked(parent="lan1"), view=view) == ()


def test_a_vlan_of_a_bridges_port_can() -> None:
    view = host(link("br0", 7, kind="bridge"), link("lan1", 8, master=7))
    assert findings(asked(parent="lan1.5"), view=view) == ()


def test_the_bridge_of_a_docker_network_as_parent_is_unknown() -> None:
    web = replace(foreign("web"), options={"com.docker.network.bridge.name": "br-web"})
    view = host(link("br-web", 7, kind="bridge"))
    found = only(findings(asked(parent="br-web"), web, view=view))
    assert found.unknown
    assert "the bridge of Docker network web" in found.message


@pytest.mark.parametrize(
    ("driver", "engine", "blocked"),
    [
        ("ipvlan", ENGINE_28, True),
        ("ipvlan", ENGINE_20_10, True),
        ("macvlan", ENGINE_20_10, True),
        ("macvlan", ENGINE_26, True),
        ("macvlan", ENGINE_27, False),
        ("macvlan", ENGINE_28, False),
    ],
)
def test_two_networks_on_one_parent_are_what_the_engine_makes_of_them(
    driver: str, engine: object, *, blocked: bool
) -> None:
    found = findings(asked(driver), other(driver), engine=engine)
    assert [f.blocks for f in found] == ([True] if blocked else [])
    assert findings(asked(driver), other(driver, "eth1"), engine=engine) == ()
    if blocked:
        assert "Docker network old uses interface" in only(found).message
        assert ("upgrade" in only(found).message) == (driver == "macvlan")
        live = created(asked(driver))
        assert findings(asked(driver), other(driver), live=live, engine=engine) == ()  # it has it already


def test_mode_passthru_does_not_share_its_parent() -> None:
    assert "mode passthru" in only(findings(asked(macvlan_mode="passthru"), other())).message
    assert "mode passthru" in only(findings(asked(), other(macvlan_mode="passthru"))).message
    assert findings(asked(macvlan_mode="passthru")) == ()
    live = created(asked())  # the engine accepted it next to the other; it would refuse a recreation
    assert "mode passthru" in only(findings(asked(macvlan_mode="passthru"), other(), live=live)).message


@pytest.mark.parametrize(("driver", "rival"), [("macvlan", "ipvlan"), ("ipvlan", "macvlan")])
def test_the_other_driver_on_the_same_parent_is_unknown(driver: str, rival: str) -> None:
    found = only(findings(asked(driver), other(rival)))
    assert (found.blocks, found.unknown) == (False, True)
    assert f"{rival} network old uses interface eth0 too" in found.message


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_the_finding_about_a_deleted_parent_has_a_remedy(driver: str) -> None:
    live = created(asked(driver, "lan1"))
    found = only(findings(asked(driver, "lan1"), live=live))
    assert found.blocks
    assert "running containers lost the network" in found.message
    assert "restart the containers" in found.message
    back = host(link("lan1", 7))
    assert findings(asked(driver, "lan1"), live=live, view=back) == ()


def test_a_vlan_that_vanished_under_a_network_is_not_made_again_by_the_engine() -> None:
    live = created(asked(parent="eth0.100"))
    found = only(findings(asked(parent="eth0.100"), live=live))
    assert found.blocks
    assert "ip link add link eth0 name eth0.100 type vlan id 100" in found.message
    assert "restart the engine" in found.message
    gone = only(findings(asked(parent="lan1.100"), live=created(asked(parent="lan1.100"))))
    assert "ip link add" not in gone.message


def test_a_network_on_another_parent_does_not_hold_the_new_one() -> None:
    live = created(asked(parent="lan1"))
    assert "there is no interface eth7" in only(findings(asked(parent="eth7"), live=live)).message


@pytest.mark.parametrize(("option", "value"), [("ipvlan_mode", "l3s"), ("ipvlan_flag", "private")])
def test_engines_that_refuse_or_ignore_an_option_are_too_old(option: str, value: str) -> None:
    (found,) = findings(asked("ipvlan", **{option: value}), engine=ENGINE_20_10)
    assert (found.reason, found.blocks) == ("EngineTooOld", True)
    assert f"spec.options.{option}: {value}" in found.message
    assert findings(asked("ipvlan", **{option: value}), engine=ENGINE_23) == ()
    assert findings(asked("ipvlan", ipvlan_mode="l3", ipvlan_flag="bridge"), engine=ENGINE_20_10) == ()


def test_the_version_of_an_absent_engine_is_not_judged() -> None:
    assert findings(asked("ipvlan", ipvlan_mode="l3s"), engine=None) == ()
    assert findings(asked(), other(), engine=None) == ()


def test_an_observed_network_is_not_validated() -> None:
    live = other("ipvlan", ipvlan_flag="private")
    state = observed(networks=NetworkIndex((live,)), engine=ENGINE_20_10)
    assert parent_findings(live, live, replace(state, host=host())) == ()
    gone = replace(live, options={"parent": "lan1"})
    assert only(parent_findings(gone, gone, replace(state, host=host()))).blocks


def test_layer_3_needs_ipv6_on_the_parent_and_layer_2_none() -> None:
    view = host(link("lan1", 7))
    found = only(findings(asked("ipvlan", "lan1", ipvlan_mode="l3"), view=view))
    assert (found.blocks, found.unknown) == (False, True)
    assert "has no IPv6" in found.message
    assert findings(asked("ipvlan", "lan1"), view=view) == ()
    assert findings(asked("macvlan", "lan1"), view=view) == ()
    routed = host(link("lan1", 7), routes=(route("fe80::/64", "lan1", RouteProtocol.KERNEL),))
    assert findings(asked("ipvlan", "lan1", ipvlan_mode="l3"), view=routed) == ()


@pytest.mark.parametrize("subnet", [UPLINK, "2001:db8:0:1:8::/112"])
def test_layer_3_in_an_on_link_prefix_is_unknown(subnet: str) -> None:
    eth0 = replace(link("eth0", 2), addresses=(IPv6Interface("2001:db8:0:1::2/64"),))
    view = replace(host(), interfaces={"eth0": eth0})
    found = only(findings(asked("ipvlan", subnet=subnet, ipvlan_mode="l3"), view=view))
    assert found.unknown
    assert "the router routes to 2001:db8:0:1::2" in found.message
    assert findings(asked("ipvlan", subnet=subnet), view=view) == ()
    assert findings(asked("ipvlan", ipvlan_mode="l3"), view=view) == ()


def test_networks_on_the_parents_link_share_its_prefix_and_routed_ones_do_not() -> None:
    assert shared_link("macvlan", {"parent": "eth0"}) == "eth0"
    assert shared_link("ipvlan", {"parent": "eth0"}) == "eth0"
    assert shared_link("ipvlan", {"parent": "eth0", "ipvlan_mode": "l3s"}) is None
    assert shared_link("bridge", {"parent": "eth0"}) is None
    assert parent_of("ipvlan", {"parent": "eth0", "ipvlan_mode": "l3"}) == "eth0"
    assert parent_of("macvlan", {}) is None


def test_a_vlan_is_watched_with_what_it_is_made_of() -> None:
    assert watched_interfaces("macvlan", {"parent": "eth0.100"}) == {"eth0", "eth0.100"}
    assert watched_interfaces("ipvlan", {"parent": "eth0"}) == {"eth0"}
    assert watched_interfaces("bridge", {"parent": "eth0"}) == frozenset()


def test_ineffective_fields_of_an_observed_network_are_reported_and_defaults_are_not() -> None:
    quiet = network("old", managementPolicy="Observe").spec
    assert ineffective_findings(quiet, other()) == ()
    loud = network("old", managementPolicy="Observe", egress={"mode": "Masquerade"}, publish={"fromContainers": True})
    found = ineffective_findings(loud.spec, other())
    assert [f.message.partition(" has no effect")[0] for f in found] == [
        "spec.egress.mode",
        "spec.publish.fromContainers",
    ]
    assert all((f.condition, f.blocks, f.unknown) == ("FirewallReady", False, True) for f in found)
    assert ineffective_findings(loud.spec, foreign("old")) == ()
