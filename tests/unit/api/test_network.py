"""Errors that concern several blocks of an IPv6Network."""

import pytest

from dockerv6.api.options import Driver
from tests.unit.api.checks import Spec, fields, network, network_errors, only


def test_the_docker_network_has_the_name_of_the_resource_by_default() -> None:
    assert network().docker_name == "blog"
    assert network({"networkName": "Blog_1.x"}).docker_name == "Blog_1.x"


@pytest.mark.parametrize("name", ["host", "none", "default", "bridge"])
def test_names_that_the_engine_reserves_are_invalid(name: str) -> None:
    assert fields(network_errors({"networkName": name})) == ["spec.networkName"]
    assert fields(network_errors({}, name=name)) == ["metadata.name"]


@pytest.mark.parametrize(
    ("name", "remedy"), [("my net", "did you mean my-net?"), ("_x", "did you mean x?"), ("é", "choose another name")]
)
def test_a_name_that_docker_rejects_has_a_suggestion(name: str, remedy: str) -> None:
    assert only(network_errors({"networkName": name})).remedy == remedy


def test_an_empty_name_is_invalid() -> None:
    assert fields(network_errors({"networkName": ""})) == ["spec.networkName"]


def test_an_observed_network_may_be_the_default_bridge_or_have_any_name() -> None:
    assert network({"networkName": "bridge", "managementPolicy": "Observe"}).observed
    assert network({"networkName": "my net", "managementPolicy": "Observe"}).docker_name == "my net"
    assert fields(network_errors({"networkName": "host", "managementPolicy": "Observe"})) == ["spec.networkName"]


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        (
            {"addressing": {"subnet": "fd00:1::/64", "gateway": "fd00:1::1"}},
            ["addressing.gateway", "addressing.subnet"],
        ),
        ({"bridge": {"icc": True}}, ["bridge.icc"]),
        ({"ipv4": {"enabled": True}}, ["ipv4.enabled"]),
        ({"options": {"x": "y"}}, ["options"]),
        ({"driver": "bridge", "internal": True, "attachable": True}, ["driver", "internal", "attachable"]),
        ({"labels": {"a": "b"}}, ["labels"]),
        ({"updateStrategy": "Recreate"}, ["updateStrategy"]),
        ({"deletionPolicy": "Delete"}, ["deletionPolicy"]),
    ],
    ids=str,
)
def test_fields_of_the_creation_are_invalid_for_an_observed_network(spec: Spec, where: list[str]) -> None:
    found = network_errors({"managementPolicy": "Observe", **spec})
    assert fields(found) == [f"spec.{name}" for name in where]
    assert all("managementPolicy: Observe" in error.message for error in found)


def test_policies_that_observe_implies_are_valid_for_an_observed_network() -> None:
    spec = {
        "managementPolicy": "Observe",
        "updateStrategy": "Never",
        "deletionPolicy": "Orphan",
        "egress": {},
        "addressing": {},
    }
    assert network_errors(spec) == ()


ETH0: Spec = {"options": {"parent": "eth0"}}


@pytest.mark.parametrize("driver", [Driver.MACVLAN, Driver.IPVLAN])
@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"bridge": {"mtu": 1500, "icc": False}}, ["bridge.icc", "bridge.mtu"]),
        ({"egress": {"mode": "Masquerade"}}, ["egress.mode"]),
        ({"egress": {"mode": "SNAT", "snatAddress": "2001:db8::1"}}, ["egress.mode"]),
        ({"egress": {"mode": "PrefixTranslation", "prefix": "2001:db8::/48"}}, ["egress.mode"]),
        ({"egress": {"mode": "Routed"}}, ["egress.mode"]),
        ({"egress": {"interfaces": ["eth0"], "exclude": ["fd00::/8"]}}, ["egress.interfaces", "egress.exclude"]),
        ({"publish": {"ports": [{"port": 80, "containers": {"name": "web"}}]}}, ["publish.ports"]),
        ({"publish": {"fromContainers": True}}, ["publish.fromContainers"]),
        ({"publish": {"hostAddress": "2001:db8::1"}}, ["publish.hostAddress"]),
        ({"firewall": {"isolation": True, "ingress": [{}]}}, ["firewall.ingress", "firewall.isolation"]),
        ({"ndpProxy": {"enabled": True}}, ["ndpProxy.enabled"]),
    ],
    ids=str,
)
def test_fields_that_need_a_bridge_are_invalid_with_other_drivers(driver: str, spec: Spec, where: list[str]) -> None:
    found = network_errors({"driver": driver, **ETH0, **spec})
    assert fields(found) == [f"spec.{name}" for name in where]
    assert all(error.remedy for error in found)


@pytest.mark.parametrize(
    "spec",
    [
        {"egress": {"mode": "None"}, "publish": {"fromContainers": False}, "firewall": {"isolation": False}},
        {
            "members": {"matchLabels": {"a": "b"}},
            "attachable": True,
            "labels": {"a": "b"},
            "updateStrategy": "Recreate",
        },
        {"addressing": {"subnet": "2001:db8::/64", "gateway": "2001:db8::ff", "reserved": ["2001:db8::2"]}},
        {"addressing": {"poolRef": {"name": "lan"}, "prefixLength": 64}},
        {"ipv4": {"subnet": "192.0.2.0/24", "gateway": "192.0.2.1"}},
        {"ipv4": {"enabled": False}, "suspend": True, "deletionPolicy": "Orphan", "networkName": "lan"},
        {"publish": {}, "firewall": {}, "ndpProxy": {}, "egress": {}, "bridge": {}},
    ],
    ids=str,
)
@pytest.mark.parametrize("driver", [Driver.MACVLAN, Driver.IPVLAN])
def test_other_fields_are_valid_with_all_drivers(driver: str, spec: Spec) -> None:
    assert network_errors({"driver": driver, **ETH0, **spec}) == ()


def test_routed_is_invalid_with_drivers_that_bypass_the_rules() -> None:
    error = only(network_errors({"driver": "macvlan", **ETH0, "egress": {"mode": "Routed"}}))
    assert "bypass the rules" in error.message
    assert error.remedy == "remove it, or write mode: None"


@pytest.mark.parametrize("mode", ["l3", "l3s"])
def test_layer_3_modes_have_no_gateway_and_no_ndp_proxy(mode: str) -> None:
    l3 = {"driver": "ipvlan", "options": {"parent": "eth0", "ipvlan_mode": mode}}
    assert network_errors(l3) == ()
    gateways: Spec = {
        "addressing": {"subnet": "2001:db8::/64", "gateway": "2001:db8::1"},
        "ipv4": {"subnet": "192.0.2.0/24", "gateway": "192.0.2.1"},
    }
    found = network_errors({**l3, **gateways})
    assert fields(found) == ["spec.addressing.gateway", "spec.ipv4.gateway"]
    assert all(f"ipvlan_mode {mode}" in error.message for error in found)
    error = only(network_errors({**l3, "ndpProxy": {"enabled": True}}))
    assert "routed to this host" in error.message
    answered = only(network_errors({"driver": "ipvlan", **ETH0, "ndpProxy": {"enabled": True}}))
    assert "answer neighbour solicitations themselves" in answered.message


@pytest.mark.parametrize("driver", [Driver.MACVLAN, Driver.IPVLAN])
def test_an_internal_network_without_a_bridge_has_no_gateway(driver: str) -> None:
    spec = {"driver": driver, "internal": True, "addressing": {"subnet": "fd00::/64", "gateway": "fd00::1"}}
    assert "no gateway" in only(network_errors(spec)).message
    bridged = {"internal": True, "addressing": {"subnet": "fd00::/64", "gateway": "fd00::1"}}
    assert network_errors(bridged) == ()


def test_an_observed_network_needs_no_parent() -> None:
    found = network_errors({"managementPolicy": "Observe", "driver": "macvlan"})
    assert fields(found) == ["spec.driver"]


@pytest.mark.parametrize("key", ["dockerv6.io/managed-by", "dockerv6.io/x", "dockerv6.io"])
def test_labels_with_the_reserved_prefix_are_invalid(key: str) -> None:
    assert only(network_errors({"labels": {key: "x", "other": "y"}})).path == ("spec", "labels", key)


def test_an_internal_network_has_no_egress_mode() -> None:
    assert network_errors({"internal": True}) == ()
    assert network_errors({"internal": True, "egress": {"mode": "None"}}) == ()
    assert fields(network_errors({"internal": True, "egress": {"mode": "Masquerade"}})) == ["spec.egress.mode"]


def test_host_names_are_checked() -> None:
    assert network({"hosts": {"matchNames": ["web-1", "web2.example.com"]}}).spec.hosts.match_names == (
        "web-1",
        "web2.example.com",
    )
    assert fields(network_errors({"hosts": {"matchNames": ["web_1"]}})) == ["spec.hosts.matchNames[0]"]


@pytest.mark.parametrize(
    ("project", "remedy"),
    [("Blog", "mean blog?"), ("_x", "mean x?"), ("my blog", "mean myblog?"), ("é", "docker compose ls")],
)
def test_a_name_that_compose_gives_to_no_project_is_invalid(project: str, remedy: str) -> None:
    error = only(network_errors({"members": {"allowedComposeProjects": ["blog_2-x", project]}}))
    assert error.path == ("spec", "members", "allowedComposeProjects", 1)
    assert remedy in (error.remedy or "")


def test_a_limit_of_members_needs_members() -> None:
    limit = {"allowLabel": False, "allowedComposeProjects": ["blog"]}
    assert fields(network_errors({"members": limit})) == ["spec.members.allowedComposeProjects"]
    assert network_errors({"members": {**limit, "matchLabels": {"a": "b"}}}) == ()
