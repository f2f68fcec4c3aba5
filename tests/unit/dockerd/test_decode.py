from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd import decode
from dockerv6.dockerd.model import Endpoint, EngineEvent, EventKind, SubnetConfig

NETWORK_ID = "7e4aa139b970d2516e0b4a723b062ef60a3f503f71e68630c231da9bdbb16e71"
CONTAINER_ID = "13e5a8ae2538ad92d0cc32de5b508e27cd335b5a9c34a0b4e238f2e913d91644"


def inspected_network(**changes: object) -> dict[str, object]:
    """As engine 28.5 shows it."""
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


def test_decodes_a_whole_network() -> None:
    network = decode.network(inspected_network())
    assert (network.id, network.name, network.driver, network.scope) == (NETWORK_ID, "n1", "bridge", "local")
    assert (network.enable_ipv4, network.enable_ipv6) == (True, True)
    assert (network.internal, network.attachable, network.ingress) == (False, True, False)
    assert network.options == {"com.docker.network.bridge.name": "br-n1"}
    assert network.labels == {"a": "b"}
    assert network.endpoints == (
        Endpoint("a" * 64, "api", "e2"),
        Endpoint("c" * 64, "web", "e1", IPv4Address("192.0.2.10"), IPv6Address("2001:db8:1::99")),
    )


def test_puts_ipv4_first_whatever_the_order_was() -> None:
    assert decode.network(inspected_network()).ipam == (
        SubnetConfig(
            IPv4Network("192.0.2.0/28"), gateway=IPv4Address("192.0.2.9"), ip_range=IPv4Network("192.0.2.8/29")
        ),
        SubnetConfig(IPv6Network("2001:db8:1::/64"), aux_addresses={"r": "2001:db8:1::5"}),
    )


def test_takes_the_prefix_length_off_a_gateway_from_a_pool() -> None:
    ipam = {"Config": [{"Subnet": "fd00:1::/64", "Gateway": "fd00:1::1/64"}]}
    (config,) = decode.network(inspected_network(IPAM=ipam)).ipam
    assert config.gateway == IPv6Address("fd00:1::1")


def test_takes_off_the_host_bits_that_20_10_keeps() -> None:
    ipam = {"Config": [{"Subnet": "2001:db8:7::5/64"}]}
    (config,) = decode.network(inspected_network(IPAM=ipam)).ipam
    assert config.subnet == IPv6Network("2001:db8:7::/64")


@pytest.mark.parametrize("empty", [None, [], [{}], [{"Subnet": ""}], [{"Subnet": "bogus"}], "bogus"])
def test_leaves_out_address_configuration_that_makes_no_sense(empty: object) -> None:
    assert decode.network(inspected_network(IPAM={"Config": empty})).ipam == ()


@pytest.mark.parametrize("key", ["Containers", "Options", "Labels", "IPAM"])
def test_takes_null_and_absence_for_emptiness(key: str) -> None:
    whole = inspected_network()
    del whole[key]
    assert decode.network(inspected_network(**{key: None})) == decode.network(whole)
    assert decode.network(whole) == decode.network(inspected_network(**{key: {}}))


def test_engines_that_do_not_say_have_ipv4() -> None:
    whole = inspected_network()
    del whole["EnableIPv4"]
    assert decode.network(whole).enable_ipv4
    assert not decode.network(inspected_network(EnableIPv4=False)).enable_ipv4


def test_a_listing_carries_no_endpoints() -> None:
    (network,) = decode.networks([inspected_network(Containers={})])
    assert network.endpoints is None
    assert decode.networks(None) == ()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T03:00:11.651799516Z", datetime(2026, 11, 23, 3, 0, 11, 651799, UTC)),
        ("2026-11-23T04:00:11+01:00", datetime(2026, 11, 23, 3, 0, 11, 0, UTC)),
        ("", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_decodes_when_a_network_was_made(text: str, moment: datetime) -> None:
    assert decode.created({"Created": text}) == moment


@pytest.mark.parametrize(
    ("backend", "seen"),
    [
        ({"Driver": "iptables"}, "iptables"),
        ({"Driver": "iptables+firewalld", "Info": [["ReloadedAt", "x"]]}, "iptables"),
        ({"Driver": "nftables"}, "nftables"),
        (None, None),
    ],
)
def test_decodes_an_engines_identity(backend: object, seen: str | None) -> None:
    version = {"Version": "28.5.2+dfsg4", "ApiVersion": "1.51"}
    info = decode.engine_info(version, {"ID": "QHDM:KQZW", "Name": "host", "FirewallBackend": backend})
    assert (info.id, info.name, info.version) == ("QHDM:KQZW", "host", "28.5.2+dfsg4")
    assert (info.release, info.api_version, info.firewall_backend) == ((28, 5), "1.51", seen)


def test_a_development_build_has_no_release() -> None:
    assert decode.engine_info({"Version": "dev"}, {}).release == (0, 0)


@pytest.mark.parametrize("action", ["connect", "disconnect"])
def test_decodes_events_of_a_containers_networks(action: str) -> None:
    message = {
        "Type": "network",
        "Action": action,
        "Actor": {"ID": NETWORK_ID, "Attributes": {"container": CONTAINER_ID, "name": "n1", "type": "bridge"}},
        "scope": "local",
    }
    assert decode.event(message) == EngineEvent(EventKind.NETWORK, action, NETWORK_ID, "n1", CONTAINER_ID)


@pytest.mark.parametrize("action", ["start", "die", "stop", "rename", "pause", "unpause", "update", "destroy"])
def test_decodes_events_of_a_container(action: str) -> None:
    message = {"Type": "container", "Action": action, "Actor": {"ID": CONTAINER_ID, "Attributes": {"name": "c1"}}}
    assert decode.event(message) == EngineEvent(EventKind.CONTAINER, action, container_id=CONTAINER_ID)


@pytest.mark.parametrize("other", [{"Type": "image", "Action": "pull"}, {}, [], None])
def test_other_events_are_none_of_ours(other: object) -> None:
    assert decode.event(other) is None


def test_decodes_answers_and_errors() -> None:
    assert decode.created_id({"Id": NETWORK_ID, "Warning": ""}) == NETWORK_ID
    assert decode.error_message({"message": "no"}) == "no"
    assert decode.error_message("<html>") == ""
