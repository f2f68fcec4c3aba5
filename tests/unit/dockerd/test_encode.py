from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd import encode
from dockerv6.dockerd.encode import (
    ENABLE_IPV4,
    HIGHEST_API,
    EngineApi,
    api_from_headers,
    format_api_version,
    parse_api_version,
)
from dockerv6.dockerd.model import Attachment, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineTooOld

OLD = EngineApi("20.10.24", (1, 41))
NEW = EngineApi("28.5.2", (1, 51))
NEWEST = EngineApi("29.4.0", (1, 56))

SPEC = NetworkSpec(
    "blog",
    ipam=(
        SubnetConfig(
            IPv6Network("2001:db8::/64"),
            gateway=IPv6Address("2001:db8::1"),
            ip_range=IPv6Network("2001:db8::/80"),
            aux_addresses={"router": "2001:db8::5"},
        ),
        SubnetConfig(IPv4Network("192.0.2.0/28")),
    ),
    options={"a": "b"},
    labels={"c": "d"},
)


def test_encodes_every_field_of_a_network() -> None:
    assert encode.network(SPEC, OLD) == {
        "Name": "blog",
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Internal": False,
        "Attachable": False,
        "EnableIPv6": True,
        "Options": {"a": "b"},
        "Labels": {"c": "d"},
        "IPAM": {
            "Driver": "default",
            "Config": [
                {
                    "Subnet": "2001:db8::/64",
                    "IPRange": "2001:db8::/80",
                    "Gateway": "2001:db8::1",
                    "AuxiliaryAddresses": {"router": "2001:db8::5"},
                },
                {"Subnet": "192.0.2.0/28"},
            ],
        },
    }


def test_sends_that_ipv6_is_disabled() -> None:
    body = encode.network(NetworkSpec("plain", enable_ipv6=False), NEW)
    assert body["EnableIPv6"] is False
    assert "IPAM" not in body


@pytest.mark.parametrize("wanted", [True, False])
def test_sends_enable_ipv4_to_engines_that_support_it(wanted: bool) -> None:  # noqa: FBT001 - parametrized
    assert encode.network(NetworkSpec("n", enable_ipv4=wanted), NEW)["EnableIPv4"] is wanted


@pytest.mark.parametrize("engine", [OLD, EngineApi("27.5.1", (1, 47))])
def test_rejects_disabled_ipv4_where_the_engine_would_ignore_it(engine: EngineApi) -> None:
    with pytest.raises(
        EngineTooOld, match=rf"network n: Docker Engine {engine.engine_version}.* upgrade to Docker Engine 28"
    ):
        encode.network(NetworkSpec("n", enable_ipv4=False), engine)


DESIRED = Attachment(
    "c1",
    "web",
    running=True,
    aliases=("www",),
    links=("db:database",),
    ipv4=IPv4Address("192.0.2.2"),
    ipv6=IPv6Address("2001:db8::2"),
    static_ipv4=IPv4Address("192.0.2.7"),
    static_ipv6=IPv6Address("2001:db8::7"),
    driver_opts={"k": "v"},
    gw_priority=-3,
    mac_address="02:42:00:00:00:01",
    link_local_ips=("fe80::7",),
)


def test_encodes_every_field_of_a_connection() -> None:
    assert encode.connection(DESIRED, NEWEST) == {
        "Container": "c1",
        "EndpointConfig": {
            "Aliases": ["www"],
            "Links": ["db:database"],
            "IPAMConfig": {"IPv4Address": "192.0.2.7", "IPv6Address": "2001:db8::7", "LinkLocalIPs": ["fe80::7"]},
            "DriverOpts": {"k": "v"},
            "GwPriority": -3,
            "MacAddress": "02:42:00:00:00:01",
        },
    }


@pytest.mark.parametrize(
    ("engine", "left_out"),
    [(NEW, {"MacAddress"}), (OLD, {"MacAddress", "GwPriority"}),
     (EngineApi("17.05", (1, 29)), {"MacAddress", "GwPriority", "DriverOpts"})],
)  # fmt: skip
def test_omits_fields_that_older_engines_do_not_support(engine: EngineApi, left_out: set[str]) -> None:
    everything = encode.connection(DESIRED, NEWEST)["EndpointConfig"]
    endpoint = encode.connection(DESIRED, engine)["EndpointConfig"]
    assert isinstance(everything, dict)
    assert isinstance(endpoint, dict)
    assert everything.keys() - endpoint.keys() == left_out


def test_requests_only_static_addresses() -> None:
    used = Attachment("c1", "web", running=True, ipv6=IPv6Address("2001:db8::2"))
    assert encode.connection(used, NEW) == {"Container": "c1", "EndpointConfig": {}}


def test_encodes_a_disconnection() -> None:
    assert encode.disconnection("c1", force=True) == {"Container": "c1", "Force": True}


@pytest.mark.parametrize(("text", "api"), [("1.41", (1, 41)), ("1.9", (1, 9)), ("", None), ("1", None), ("1.x", None)])
def test_parses_api_versions(text: str, api: tuple[int, int] | None) -> None:
    assert parse_api_version(text) == api


def test_formats_as_in_a_path() -> None:
    assert format_api_version((1, 41)) == "1.41"


def test_reads_the_headers_of_a_response() -> None:
    headers = {"Api-Version": "1.41", "Server": "Docker/20.10.24+dfsg1 (linux)"}
    assert api_from_headers(headers) == EngineApi("20.10.24+dfsg1", (1, 41))


def test_accepts_an_unknown_server_header() -> None:
    assert api_from_headers({"Api-Version": "1.41", "Server": "Libpod/4.9 (linux)"}) == EngineApi(
        "of unknown version", (1, 41)
    )


def test_a_response_without_an_api_version_is_not_an_engines() -> None:
    assert api_from_headers({"Server": "nginx"}) is None


def test_compares_versions_as_numbers() -> None:
    assert EngineApi("", (1, 100)).supports(ENABLE_IPV4)
    assert not EngineApi("", (1, 9)).supports(ENABLE_IPV4)


def test_never_requests_more_than_the_highest_known_version() -> None:
    assert EngineApi("", (1, 41)).version == (1, 41)
    assert EngineApi("", (1, 99)).version == HIGHEST_API
