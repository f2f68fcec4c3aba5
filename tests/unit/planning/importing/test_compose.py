"""Compose files: the networks that Compose creates for them, and what only Compose can read."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.api.errors import format_path
from dockerv6.dockerd.model import COMPOSE_PROJECT, SubnetConfig
from dockerv6.planning.importing.compose import ComposeError, project_name, read_project

WEB: dict[str, object] = {"image": "web"}


def errors_of(document: object, project: str = "") -> dict[str, str]:
    with pytest.raises(ComposeError) as raised:
        read_project(document, "shop", project)
    return {format_path(each.path): str(each) for each in raised.value.errors}


def test_a_network_is_what_compose_creates() -> None:
    front = {
        "name": "edge",
        "driver": "bridge",
        "enable_ipv6": True,
        "enable_ipv4": "true",
        "internal": False,
        "attachable": True,
        "driver_opts": {"com.docker.network.driver.mtu": 1400, "com.docker.network.bridge.enable_icc": False},
        "labels": ["tier=front", "alone"],
        "ipam": {
            "driver": "default",
            "config": [
                {
                    "subnet": "fd12::7/64",
                    "gateway": "fd12::1",
                    "ip_range": "fd12::8000/113",
                    "aux_addresses": {"r": "fd12::5"},
                },
                {"subnet": "192.0.2.0/28"},
            ],
        },
        "x-note": "ours",
    }
    found = read_project(
        {"services": {"web": {"networks": {"front": None}}}, "networks": {"front": front}}, "Shop.", ""
    )
    (network,) = found.networks
    assert found.name == "shop"
    assert (network.name, network.id, network.enable_ipv6, network.enable_ipv4) == ("edge", "", True, True)
    assert (network.attachable, network.internal, network.driver) == (True, False, "bridge")
    assert network.ipam == (
        SubnetConfig(IPv4Network("192.0.2.0/28")),
        SubnetConfig(IPv6Network("fd12::/64"), IPv6Address("fd12::1"), IPv6Network("fd12::8000/113"), {"r": "fd12::5"}),
    )
    assert network.options == {"com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.enable_icc": "false"}
    assert network.labels == {
        "tier": "front",
        "alone": "",
        COMPOSE_PROJECT: "shop",
        "com.docker.compose.network": "front",
    }


@pytest.mark.parametrize(
    ("services", "networks", "created"),
    [
        ({"web": WEB}, {}, ["shop_default"]),
        ({"web": {"network_mode": "host"}}, {}, []),
        ({"web": {"networks": ["a"]}, "db": WEB}, {"a": None, "b": None}, ["shop_a", "shop_default"]),
        ({"web": {"networks": ["a", "default"]}}, {"a": {}, "default": {"name": "own"}}, ["shop_a", "own"]),
        ({"web": None}, None, ["shop_default"]),
        ({"web": {"networks": []}}, {}, ["shop_default"]),
        ({"web": {"networks": {}}, "db": {"networks": ["a"]}}, {"a": {}}, ["shop_a", "shop_default"]),
        ({"db": {"provider": {"type": "cloud"}}}, {}, []),
        ({"db": {"provider": {"type": "cloud"}, "networks": ["a"]}, "web": WEB}, {"a": {}}, ["shop_default"]),
    ],
)
def test_networks_that_a_service_uses_are_created(
    services: dict[str, object], networks: dict[str, object] | None, created: list[str]
) -> None:
    found = read_project({"name": "shop", "services": services, "networks": networks}, "dir")
    assert [network.name for network in found.networks] == created


@pytest.mark.parametrize("wanted", ["", 0, False, "a"])
def test_networks_of_a_service_are_a_list_or_a_mapping(wanted: object) -> None:
    assert (
        "must be a list or a mapping" in errors_of({"services": {"web": {"networks": wanted}}})["services.web.networks"]
    )


def test_networks_that_compose_does_not_create_are_left_out_with_a_note() -> None:
    networks = {
        "a": {"external": True},
        "b": {"external": {"name": "shared"}},
        "c": {"external": "true", "name": "named"},
        "unused": {},
    }
    found = read_project({"services": {"web": {"networks": ["a", "b", "c"]}}, "networks": networks}, "shop")
    assert found.networks == ()
    assert list(found.skipped) == ["a", "shared", "named", "shop_unused"]
    assert "dockerv6 import shared" in found.skipped["shared"]
    assert "no service uses it" in found.skipped["shop_unused"]


def test_what_services_have_is_noted() -> None:
    services = {
        "web": {
            "profiles": ["debug"],
            "ports": ["8080:80", "127.0.0.1:81:81", {"host_ip": "0.0.0.0", "published": "82"}],
        },
        "db": {"profiles": ["debug"], "ports": ["[::1]:83:83", 84, {"target": 85}]},
    }
    networks = {"default": {"ipam": {"config": [{"subnet": "fd12::/64"}]}}}
    found = read_project({"services": services, "networks": networks}, "shop")
    first, second, third = map(str, found.notes["shop_default"])
    assert "only with a profile of db, web" in first
    assert second.startswith("enable_ipv6: is not set")
    assert third.startswith("Ports of service web: 0.0.0.0:82, 127.0.0.1:81:81: ")


def test_dollars_that_compose_escaped_are_text() -> None:
    document = {"services": {"web": {"networks": ["a"]}}, "networks": {"a": {"labels": {"price": "5$$"}}}}
    (network,) = read_project(document, "shop").networks
    assert network.labels["price"] == "5$"


@pytest.mark.parametrize(
    ("document", "field", "expected"),
    [
        ({"services": {}, "include": ["a.yaml"]}, "include", "docker compose config"),
        ({"services": {"web": {"extends": {"service": "x"}}}}, "services.web.extends", "docker compose config"),
        ({"name": "${NAME}", "services": {}}, "name", "only Compose can replace"),
        ({"services": {"web": {"networks": ["$NET"]}}}, "services.web.networks[0]", "only Compose can replace"),
        ({"services": {"w": {"networks": {"gone": {}}}}}, "services.w.networks", "not a network of this file"),
        ({"services": {"w": {"networks": 7}}}, "services.w.networks", "a list or a mapping"),
        ({"networks": {"a": {"enable_ipv6": "${V6:-true}"}}}, "networks.a.enable_ipv6", "only Compose"),
        ({"networks": {"a": {"enable_ipv6": "yes"}}}, "networks.a.enable_ipv6", "must be true or false"),
        ({"networks": {"a": {"enable_ipv7": True}}}, "networks.a.enable_ipv7", "did you mean enable_ipv6?"),
        ({"networks": {"a": []}}, "networks.a", "must be a mapping, not a list"),
        ({"networks": {"a": {"labels": {"x": []}}}}, "networks.a.labels.x", "must be a string, not a list"),
        ({"networks": {"a": {"ipam": {"driver": "infoblox"}}}}, "networks.a.ipam.driver", "plugin infoblox"),
        ({"networks": {"a": {"ipam": {"config": {}}}}}, "", ""),
        ({"networks": {"a": {"ipam": {"config": "x"}}}}, "networks.a.ipam.config", "must be a list"),
        (
            {"networks": {"a": {"ipam": {"config": [{"subnet": "fd12::/129"}]}}}},
            "networks.a.ipam.config[0].subnet",
            "fd12::/129",
        ),
        (
            {"networks": {"a": {"ipam": {"config": [{"subnet": "fd12::/64", "gateway": "x"}]}}}},
            "networks.a.ipam.config[0].gateway",
            "'x'",
        ),
        ({"web": {"image": "x"}}, "", "neither services nor networks"),
        (["services"], "", "a Compose file is a mapping, not a list"),
        ("text", "", "a Compose file is a mapping, not 'text'"),
        (None, "", "not null"),
    ],
)
def test_what_only_compose_can_read_is_refused_with_its_place(document: object, field: str, expected: str) -> None:
    if not expected:
        assert read_project(document, "shop").networks == ()
        return
    found = errors_of(document)
    assert field in found
    assert expected in found[field]


def test_a_project_needs_a_name() -> None:
    with pytest.raises(ComposeError, match="--project"):
        read_project({"services": {}}, "...")
    assert read_project({"services": {}}, "...", "given").name == "given"


@pytest.mark.parametrize(
    ("directory", "name"), [("My.Shop_1", "myshop_1"), ("_-x", "x"), ("Ä", ""), ("2048", "2048"), ("a b", "ab")]
)
def test_a_project_is_named_like_its_directory(directory: str, name: str) -> None:
    assert project_name(directory) == name
