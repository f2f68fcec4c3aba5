from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd import decode
from dockerv6.dockerd.model import (
    Endpoint,
    EngineEvent,
    EventKind,
    SubnetConfig,
)

NETWORK_ID = "7e4aa139b970d2516e0b4a723b062ef60a3f503f71e68630c231da9bdbb16e71"
CONTAINER_ID = "13e5a8ae2538ad92d0cc32de5b508e27cd335b5a9c34a0b4e238f2e913d91644"


def inspected_network(**changes: object) -> dict[str, object]:
    """As inspected on engine 28.5."""
    return {
        "Name": "n1",
        "Id": NETWORK_ID,
        "Created": "2026-11-23T03:00:11.651799516Z",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": True,
        "IPAM": {
            "Driver": "default",
            "Options": None,
            "Config": [
                {"Subnet": "2001:db8:1::/64", "AuxiliaryAddresses": {"r": "2001:db8:1::5"}},
                {"Subnet": "192.0.2.0/28", "IPRange": "192.0.2.8/29", "Gateway": "192.0.2.9"},
            ],
        },
        "Internal": False,
        "Attachable": True,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            "c" * 64: {"Name": "web", "EndpointID": "e1", "MacAddress": "9e:5a:1c:7f:d4:ff",
                       "IPv4Address": "192.0.2.10/28", "IPv6Address": "2001:db8:1::99/64"},
            "a" * 64: {"Name": "api", "EndpointID": "e2", "MacAddress": "", "IPv4Address": "", "IPv6Address": ""},
        },
        "Options": {"com.docker.network.bridge.name": "br-n1"},
        "Labels": {"a": "b"},
        **changes,
    }  # fmt: skip


def test_decodes_every_field_of_a_network() -> None:
    network = decode.network(inspected_network())
    assert (network.id, network.name, network.driver) == (NETWORK_ID, "n1", "bridge")
    assert (network.enable_ipv4, network.enable_ipv6) == (True, True)
    assert (network.internal, network.attachable) == (False, True)
    assert network.options == {"com.docker.network.bridge.name": "br-n1"}
    assert network.labels == {"a": "b"}
    assert network.endpoints == (
        Endpoint("a" * 64, "api"),
        Endpoint("c" * 64, "web", IPv4Address("192.0.2.10"), IPv6Address("2001:db8:1::99")),
    )


def test_sorts_ipv4_subnets_first() -> None:
    assert decode.network(inspected_network()).ipam == (
        SubnetConfig(
            IPv4Network("192.0.2.0/28"), gateway=IPv4Address("192.0.2.9"), ip_range=IPv4Network("192.0.2.8/29")
        ),
        SubnetConfig(IPv6Network("2001:db8:1::/64"), aux_addresses={"r": "2001:db8:1::5"}),
    )


def test_strips_the_prefix_length_of_a_gateway() -> None:
    ipam = {"Config": [{"Subnet": "fd00:1::/64", "Gateway": "fd00:1::1/64"}]}
    (config,) = decode.network(inspected_network(IPAM=ipam)).ipam
    assert config.gateway == IPv6Address("fd00:1::1")


def test_clears_the_host_bits_of_a_subnet() -> None:
    ipam = {"Config": [{"Subnet": "2001:db8:7::5/64"}]}
    (config,) = decode.network(inspected_network(IPAM=ipam)).ipam
    assert config.subnet == IPv6Network("2001:db8:7::/64")


@pytest.mark.parametrize("empty", [None, [], [{}], [{"Subnet": ""}], [{"Subnet": "bogus"}], "bogus"])
def test_omits_invalid_subnets(empty: object) -> None:
    assert decode.network(inspected_network(IPAM={"Config": empty})).ipam == ()


def test_a_network_has_the_driver_of_its_addresses() -> None:
    assert decode.network(inspected_network(IPAM={"Driver": "infoblox"})).ipam_driver == "infoblox"
    assert decode.network(inspected_network(IPAM={"Driver": ""})).ipam_driver == "default"


@pytest.mark.parametrize("key", ["Containers", "Options", "Labels", "IPAM"])
def test_null_and_missing_fields_read_as_empty(key: str) -> None:
    whole = inspected_network()
    del whole[key]
    assert decode.network(inspected_network(**{key: None})) == decode.network(whole)
    assert decode.network(whole) == decode.network(inspected_network(**{key: {}}))


def test_ipv4_is_enabled_where_the_engine_does_not_report_it() -> None:
    whole = inspected_network()
    del whole["EnableIPv4"]
    assert decode.network(whole).enable_ipv4
    assert not decode.network(inspected_network(EnableIPv4=False)).enable_ipv4


def test_a_listing_has_no_endpoints() -> None:
    (network,) = decode.networks([inspected_network(Containers={})])
    assert network.endpoints is None
    assert decode.networks([]) == ()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-23T03:00:11.651799516Z", datetime(2026, 11, 23, 3, 0, 11, 651799, UTC)),
        ("2026-11-23T04:00:11+01:00", datetime(2026, 11, 23, 3, 0, 11, 0, UTC)),
        ("", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_decodes_the_creation_time(text: str, time: datetime) -> None:
    assert decode.created({"Created": text}) == time


@pytest.mark.parametrize(
    ("backend", "seen"),
    [
        ({"Driver": "iptables"}, "iptables"),
        ({"Driver": "iptables+firewalld", "Info": [["ReloadedAt", "x"]]}, "iptables"),
        ({"Driver": "nftables"}, "nftables"),
        (None, None),
    ],
)
def test_decodes_the_engines_identity(backend: object, seen: str | None) -> None:
    version = {"Version": "28.5.2+dfsg4", "ApiVersion": "1.51"}
    info = decode.engine_info(version, {"ServerVersion": "28.5.2", "Name": "host", "FirewallBackend": backend})
    assert (info.name, info.version) == ("host", "28.5.2+dfsg4")
    assert (info.release, info.api_version, info.firewall_backend) == ((28, 5), "1.51", seen)


def test_podman_rootless_engines_and_nodes_of_a_swarm_are_recognised() -> None:
    version = {"Version": "28.5.2", "Components": [{"Name": "Engine"}]}
    plain = decode.engine_info(version, {"ServerVersion": "28.5.2", "Swarm": {"LocalNodeState": "inactive"}})
    assert (plain.podman, plain.rootless, plain.swarm) == (False, False, False)
    info = {"ServerVersion": "5", "SecurityOptions": ["name=rootless"], "Swarm": {"LocalNodeState": "active"}}
    found = decode.engine_info({"Version": "5.4.2", "Components": [{"Name": "Podman Engine"}]}, info)
    assert (found.podman, found.rootless, found.swarm) == (True, True, True)


@pytest.mark.parametrize(("reported", "expected"), [({"LiveRestoreEnabled": True}, True), ({}, False)], ids=str)
def test_live_restore_is_read(reported: dict[str, object], expected: bool) -> None:  # noqa: FBT001
    version = {"Version": "28.5.2", "ApiVersion": "1.51"}
    assert decode.engine_info(version, {"ServerVersion": "28.5.2", **reported}).live_restore is expected


def test_a_development_build_has_no_release() -> None:
    assert decode.engine_info({"Version": "dev"}, {"ServerVersion": "dev"}).release == (0, 0)


@pytest.mark.parametrize("action", ["connect", "disconnect"])
def test_decodes_network_events(action: str) -> None:
    message = {
        "Type": "network",
        "Action": action,
        "Actor": {"ID": NETWORK_ID, "Attributes": {"container": CONTAINER_ID, "name": "n1", "type": "bridge"}},
        "scope": "local",
    }
    assert decode.event(message) == EngineEvent(EventKind.NETWORK, action, NETWORK_ID, "n1", CONTAINER_ID)


@pytest.mark.parametrize("action", ["start", "die", "stop", "rename", "pause", "unpause", "update", "destroy"])
def test_decodes_container_events(action: str) -> None:
    message = {"Type": "container", "Action": action, "Actor": {"ID": CONTAINER_ID, "Attributes": {"name": "c1"}}}
    assert decode.event(message) == EngineEvent(
        EventKind.CONTAINER, action, container_id=CONTAINER_ID, container_name="c1"
    )


@pytest.mark.parametrize("other", [{"Type": "image", "Action": "pull"}, {}, [], None])
def test_ignores_events_of_other_types(other: object) -> None:
    assert decode.event(other) is None


def test_decodes_the_id_of_a_created_network_and_error_messages() -> None:
    assert decode.created_id({"Id": NETWORK_ID, "Warning": ""}) == NETWORK_ID
    assert decode.error_message({"message": "no"}) == "no"
    assert decode.error_message("<html>") == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Id", None),
        ("Name", 5),
        ("Driver", ""),
        ("Internal", "yes"),
        ("EnableIPv6", "true"),
        ("Options", []),
        ("Labels", "a=b"),
        ("IPAM", 1),
        ("IPAM", {"Config": {}}),
        ("IPAM", {"Config": [{"Subnet": "2001:db8::/200"}]}),
        ("IPAM", {"Config": [{"Subnet": 7}]}),
    ],
)
def test_a_field_that_can_not_be_decoded_is_a_problem_of_its_network_only(field: str, value: object) -> None:
    odd, good = decode.networks([inspected_network(**{field: value}), inspected_network()])
    assert odd.problem.startswith(field)
    assert good.problem == ""


@pytest.mark.parametrize("field", ["IPAM", "Options", "Labels", "EnableIPv4", "Attachable"])
def test_a_field_that_an_engine_omits_is_no_problem(field: str) -> None:
    present = inspected_network()
    del present[field]
    assert decode.network(present).problem == ""
    assert decode.network(inspected_network(**{field: None})).problem == ""


@pytest.mark.parametrize("item", [None, "text", 5, [], {}])
def test_an_item_that_is_no_network_does_not_lose_the_list(item: object) -> None:
    odd, good = decode.networks([item, inspected_network()])
    assert odd.problem
    assert good == decode.networks([inspected_network()])[0]
