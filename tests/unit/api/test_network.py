"""What is wrong between the blocks of an IPv6Network."""

import pytest

from dockerv6.api.selectors import Driver
from tests.unit.api.checks import Spec, fields, network, network_errors, only


def test_the_docker_network_has_the_name_of_the_resource_unless_told_otherwise() -> None:
    assert network().docker_name == "blog"
    assert network({"networkName": "Blog_1.x"}).docker_name == "Blog_1.x"


@pytest.mark.parametrize("name", ["host", "none", "default", "bridge"])
def test_the_engines_own_names_are_refused(name: str) -> None:
    assert fields(network_errors({"networkName": name})) == ["spec.networkName"]
    assert fields(network_errors({}, name=name)) == ["metadata.name"]


@pytest.mark.parametrize(
    ("name", "remedy"), [("my net", "did you mean my-net?"), ("_x", "did you mean x?"), ("é", "choose another name")]
)
def test_a_name_that_docker_would_refuse_is_mended(name: str, remedy: str) -> None:
    assert only(network_errors({"networkName": name})).remedy == remedy


def test_an_empty_name_is_refused() -> None:
    assert fields(network_errors({"networkName": ""})) == ["spec.networkName"]


def test_the_default_bridge_may_be_observed_and_so_may_odd_names() -> None:
    assert network({"networkName": "bridge", "managementPolicy": "Observe"}).observed
    assert network({"networkName": "somebody's net", "managementPolicy": "Observe"}).docker_name == "somebody's net"
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
def test_what_only_matters_at_creation_is_refused_for_an_observed_network(spec: Spec, where: list[str]) -> None:
    found = network_errors({"managementPolicy": "Observe", **spec})
    assert fields(found) == [f"spec.{name}" for name in where]
    assert all("managementPolicy: Observe" in error.message for error in found)


def test_what_happens_anyway_may_be_said_of_an_observed_network() -> None:
    spec = {
        "managementPolicy": "Observe",
        "updateStrategy": "Never",
        "deletionPolicy": "Orphan",
        "egress": {},
        "addressing": {},
    }
    assert network_errors(spec) == ()


@pytest.mark.parametrize("driver", [Driver.MACVLAN, Driver.IPVLAN])
@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"bridge": {"mtu": 1500, "icc": False}}, ["bridge.icc", "bridge.mtu"]),
        ({"egress": {"mode": "Masquerade"}}, ["egress.mode"]),
        ({"publish": {"ports": [{"port": 80, "containers": {"name": "web"}}]}}, ["publish.ports"]),
        ({"publish": {"fromContainers": True}}, ["publish.fromContainers"]),
        ({"firewall": {"isolation": True, "ingress": [{}]}}, ["firewall.ingress", "firewall.isolation"]),
        ({"egress": {"mode": "Routed"}, "ndpProxy": {"enabled": True}}, ["ndpProxy.enabled"]),
    ],
    ids=str,
)
def test_drivers_without_a_bridge_refuse_what_needs_one(driver: str, spec: Spec, where: list[str]) -> None:
    assert fields(network_errors({"driver": driver, **spec})) == [f"spec.{name}" for name in where]
    off = {"egress": {"mode": "None"}, "publish": {"fromContainers": False}, "firewall": {"isolation": False}}
    assert network_errors({"driver": driver, **off}) == ()


@pytest.mark.parametrize("key", ["dockerv6.io/managed-by", "dockerv6.io/x", "dockerv6.io"])
def test_our_own_labels_are_refused(key: str) -> None:
    assert only(network_errors({"labels": {key: "x", "other": "y"}})).path == ("spec", "labels", key)


def test_nothing_leaves_an_internal_network() -> None:
    assert network_errors({"internal": True}) == ()
    assert network_errors({"internal": True, "egress": {"mode": "None"}}) == ()
    assert fields(network_errors({"internal": True, "egress": {"mode": "Masquerade"}})) == ["spec.egress.mode"]


def test_hosts_are_named_as_hosts_are() -> None:
    assert network({"hosts": {"matchNames": ["web-1", "web2.example.com"]}}).spec.hosts.match_names == (
        "web-1",
        "web2.example.com",
    )
    assert fields(network_errors({"hosts": {"matchNames": ["web_1"]}})) == ["spec.hosts.matchNames[0]"]
