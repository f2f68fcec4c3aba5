"""Driver options: those that the engine would silently ignore are errors."""

import pytest

from dockerv6.api.options import DRIVER_OPTIONS, Driver
from tests.unit.api.checks import Spec, network, network_errors, only

BRIDGE = "com.docker.network.bridge."


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        ({f"{BRIDGE}enable_ip_masquerade": "false"}, {}),
        ({f"{BRIDGE}gateway_mode_ipv6": "routed"}, {}),
        ({f"{BRIDGE}gateway_mode_ipv6": "isolated"}, {"internal": True}),
        ({f"{BRIDGE}host_binding_ipv4": "192.0.2.1"}, {}),
        ({f"{BRIDGE}trusted_host_interfaces": "eth0:eth1"}, {}),
        ({"com.docker.network.container_iface_prefix": "net"}, {}),
        ({"com.docker.network.host_ipv6": "2001:db8::1"}, {}),
        ({"com.docker.network.advertise_addr_nmsgs": "0"}, {}),
        ({"org.example.driver.colour": "red"}, {}),
        ({"parent": "eth0.10", "macvlan_mode": "bridge"}, {"driver": "macvlan"}),
        ({"parent": "eth0", "ipvlan_mode": "l3", "ipvlan_flag": "private"}, {"driver": "ipvlan"}),
    ],
    ids=str,
)
def test_options_of_the_driver_are_valid(options: dict[str, str], spec: Spec) -> None:
    assert network({**spec, "options": options}).spec.options == options


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        (f"{BRIDGE}enable_ip_masq", f"did you mean {BRIDGE}enable_ip_masquerade?"),
        (f"{BRIDGE}gateway-mode-ipv6", f"did you mean {BRIDGE}gateway_mode_ipv6?"),
        ("com.docker.network.enable_ip_masquerade", f"did you mean {BRIDGE}enable_ip_masquerade?"),
        ("host_binding_ipv4", f"did you mean {BRIDGE}host_binding_ipv4?"),
        ("mtu", "remove it and write spec.bridge.mtu"),
        ("com.docker.network.driver.mut", "remove it and write spec.bridge.mtu"),
        ("parent", "it is an option of driver macvlan; remove it"),
        ("colour", "remove it"),
        ("com.docker.network.colour", "remove it"),
        ("com.docker.network.bridge.colour", "remove it"),
    ],
)
def test_options_that_the_driver_would_ignore_are_invalid(key: str, remedy: str) -> None:
    error = only(network_errors({"options": {key: "x"}}))
    assert error.path == ("spec", "options", key)
    assert "silently ignore" in error.message
    assert error.remedy == remedy


@pytest.mark.parametrize(
    ("key", "field"),
    [
        (f"{BRIDGE}name", "spec.bridge.name"),
        (f"{BRIDGE}enable_icc", "spec.bridge.icc"),
        ("com.docker.network.driver.mtu", "spec.bridge.mtu"),
        ("com.docker.network.enable_ipv4", "spec.ipv4.enabled"),
        ("com.docker.network.internal", "spec.internal"),
        (f"{BRIDGE}host_binding_ipv6", "spec.publish.hostAddress"),
    ],
)
def test_the_remedy_for_an_option_with_a_field_is_the_field(key: str, field: str) -> None:
    assert only(network_errors({"options": {key: "1"}})).remedy == f"remove it and write {field}"


def test_ipv6_can_not_be_disabled() -> None:
    assert only(network_errors({"options": {"com.docker.network.enable_ipv6": "false"}})).remedy == "remove it"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (f"{BRIDGE}enable_ip_masquerade", "no"),
        (f"{BRIDGE}gateway_mode_ipv6", "route"),
        (f"{BRIDGE}gateway_mode_ipv6", "isolated"),
        (f"{BRIDGE}host_binding_ipv4", "::1"),
        ("com.docker.network.advertise_addr_nmsgs", "4"),
        ("com.docker.network.advertise_addr_ms", "1s"),
        ("com.docker.network.container_iface_prefix", ""),
    ],
)
def test_values_that_the_engine_rejects_are_invalid(key: str, value: str) -> None:
    assert only(network_errors({"options": {key: value}})).path == ("spec", "options", key)


def test_every_driver_has_its_options() -> None:
    assert set(DRIVER_OPTIONS) == set(Driver)


def test_fields_of_the_bridge_are_not_suggested_to_other_drivers() -> None:
    error = only(network_errors({"driver": "macvlan", "options": {"parent": "eth0", f"{BRIDGE}name": "br0"}}))
    assert "silently ignore" in error.message
    assert "spec.bridge" not in error.remedy


@pytest.mark.parametrize("parent", ["", " ", "lo", "eth 0", "a/b", "sixteen-bytes-up"])
def test_a_parent_is_the_name_of_an_interface(parent: str) -> None:
    error = only(network_errors({"driver": "ipvlan", "options": {"parent": parent}}))
    assert error.path == ("spec", "options", "parent")
    assert "such as eth0" in error.remedy


@pytest.mark.parametrize("driver", [Driver.MACVLAN, Driver.IPVLAN])
def test_a_parent_is_required(
    driver: str,
) -> None:
    error = only(network_errors({"driver": driver}))
    assert error.path == ("spec", "options", "parent")
    assert "no external connectivity" in error.message
    assert "parent: eth0" in error.remedy
    assert network_errors({"driver": driver, "options": {"parent": "eth0"}}) == ()


@pytest.mark.parametrize("driver", [Driver.MACVLAN, Driver.IPVLAN])
def test_an_internal_network_has_no_parent(driver: str) -> None:
    assert network_errors({"driver": driver, "internal": True}) == ()
    error = only(network_errors({"driver": driver, "internal": True, "options": {"parent": "eth0"}}))
    assert error.path == ("spec", "options", "parent")
    assert "reachable from the link of eth0" in error.message


@pytest.mark.parametrize(
    ("driver", "option"),
    [("macvlan", "macvlan_mode"), ("ipvlan", "ipvlan_mode"), ("ipvlan", "ipvlan_flag")],
)
def test_modes_that_the_engine_rejects_are_invalid(driver: str, option: str) -> None:
    error = only(network_errors({"driver": driver, "options": {"parent": "eth0", option: "l4"}}))
    assert error.path == ("spec", "options", option)
    assert error.remedy.startswith("write ")


@pytest.mark.parametrize("number", ["9" * 5000, "\u00b2", "-1"])
def test_a_number_of_an_option_is_bounded(number: str) -> None:
    error = only(network_errors({"options": {"com.docker.network.advertise_addr_nmsgs": number}}))
    assert "write a number from" in str(error)
