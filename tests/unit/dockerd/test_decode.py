from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd import decode
from dockerv6.dockerd.model import (
    Container,
    ContainerEndpoint,
    Endpoint,
    EngineEvent,
    EventKind,
    PortBinding,
    SubnetConfig,
)

NETWORK_ID = "7e4aa139b970d2516e0b4a723b062ef60a3f503f71e68630c231da9bdbb16e71"
CONTAINER_ID = "13e5a8ae2538ad92d0cc32de5b508e27cd335b5a9c34a0b4e238f2e913d91644"
ANY4, ANY6 = IPv4Address("0.0.0.0"), IPv6Address("::")


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
    assert decode.networks(None) == ()


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
    info = decode.engine_info(version, {"ID": "QHDM:KQZW", "Name": "host", "FirewallBackend": backend})
    assert (info.name, info.version) == ("host", "28.5.2+dfsg4")
    assert (info.release, info.api_version, info.firewall_backend) == ((28, 5), "1.51", seen)


def test_a_development_build_has_no_release() -> None:
    assert decode.engine_info({"Version": "dev"}, {}).release == (0, 0)


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
    assert decode.event(message) == EngineEvent(EventKind.CONTAINER, action, container_id=CONTAINER_ID)


@pytest.mark.parametrize("other", [{"Type": "image", "Action": "pull"}, {}, [], None])
def test_ignores_events_of_other_types(other: object) -> None:
    assert decode.event(other) is None


def test_decodes_the_id_of_a_created_network_and_error_messages() -> None:
    assert decode.created_id({"Id": NETWORK_ID, "Warning": ""}) == NETWORK_ID
    assert decode.error_message({"message": "no"}) == "no"
    assert decode.error_message("<html>") == ""


def entry(**changes: object) -> dict[str, object]:
    """A running container's endpoint settings on engine 20.10."""
    return {
        "IPAMConfig": {"IPv6Address": "2001:db8:1::99"},
        "Links": ["db:database"],
        "Aliases": ["www", CONTAINER_ID[:12]],
        "NetworkID": NETWORK_ID,
        "EndpointID": "e1",
        "IPAddress": "192.0.2.2",
        "GlobalIPv6Address": "2001:db8:1::99",
        "MacAddress": "02:42:c0:00:02:02",
        "DriverOpts": None,
        **changes,
    }


def inspected_container(networks: dict[str, object], **changes: object) -> dict[str, object]:
    return {
        "Id": CONTAINER_ID,
        "Name": "/c1",
        "State": {"Running": True},
        "HostConfig": {"NetworkMode": "n1"},
        "Config": {},
        "NetworkSettings": {"Networks": networks},
        **changes,
    }


def test_decodes_an_attachment() -> None:
    found = decode.attachment(inspected_container({"other": {}, "n1": entry()}), NETWORK_ID, "n1")
    assert found is not None
    assert (found.container_id, found.container_name, found.running) == (CONTAINER_ID, "c1", True)
    assert found.aliases == ("www",)
    assert found.links == ("db:database",)
    assert (found.ipv4, found.ipv6) == (IPv4Address("192.0.2.2"), IPv6Address("2001:db8:1::99"))
    assert (found.static_ipv4, found.static_ipv6) == (None, IPv6Address("2001:db8:1::99"))
    assert found.mac_address is None


def test_decodes_fields_of_newer_engines() -> None:
    newer = entry(
        GwPriority=7, DriverOpts={"k": "v"}, DNSNames=["c1"], IPAMConfig={"LinkLocalIPs": ["fe80::7"]}, Aliases=None
    )
    found = decode.attachment(inspected_container({"n1": newer}), NETWORK_ID, "n1")
    assert found is not None
    assert (found.gw_priority, found.driver_opts, found.link_local_ips) == (7, {"k": "v"}, ("fe80::7",))
    assert found.aliases == ()


@pytest.mark.parametrize("key", ["n1", NETWORK_ID])
def test_finds_the_attachment_of_a_container_that_never_ran(key: str) -> None:
    unstarted = inspected_container({key: entry(NetworkID="")}, State={"Running": False})
    found = decode.attachment(unstarted, NETWORK_ID, "n1")
    assert found is not None
    assert not found.running


def test_an_entry_with_another_network_id_is_not_an_attachment() -> None:
    assert decode.attachment(inspected_container({"n1": entry(NetworkID="f" * 64)}), NETWORK_ID, "n1") is None


@pytest.mark.parametrize("gone", [None, {}, {"NetworkSettings": None}, {"NetworkSettings": {"Networks": None}}])
def test_a_missing_container_has_no_attachment(gone: object) -> None:
    assert decode.attachment(gone, NETWORK_ID, "n1") is None
    assert decode.orphaned_attachment(gone, "n1", frozenset()) is None


def test_an_attachment_is_orphaned_when_its_network_id_no_longer_exists() -> None:
    container = inspected_container({"n1": entry()})
    assert decode.orphaned_attachment(container, "n1", frozenset({"f" * 64})) is not None
    assert decode.orphaned_attachment(container, "n1", frozenset({NETWORK_ID})) is None
    assert decode.orphaned_attachment(container, "n2", frozenset()) is None
    assert decode.orphaned_attachment(inspected_container({"n1": entry(NetworkID="")}), "n1", frozenset()) is None


@pytest.mark.parametrize(
    ("mode", "requested"), [("n1", "02:42:aa:bb:cc:dd"), (NETWORK_ID, "02:42:aa:bb:cc:dd"), ("n2", None), ("", None)]
)
def test_a_mac_address_is_requested_on_the_first_network_only(mode: str, requested: str | None) -> None:
    container = inspected_container(
        {"n1": entry()}, Config={"MacAddress": "02:42:aa:bb:cc:dd"}, HostConfig={"NetworkMode": mode}
    )
    found = decode.attachment(container, NETWORK_ID, "n1")
    assert found is not None
    assert found.mac_address == requested


IMAGES = {"sha256:df1dd47d": {"vendor": "acme"}}


def listed(**changes: object) -> dict[str, object]:
    """A running container in a listing of engine 28.5."""
    return {
        "Id": CONTAINER_ID,
        "Names": ["/cc"],
        "Image": "busybox:test",
        "ImageID": "sha256:df1dd47d",
        "Command": "sleep 3600",
        "Created": 1795414916,
        "Ports": [
            {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
            {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        ],
        "Labels": {"a": "b"},
        "State": "paused",
        "Status": "Up Less than a second (Paused)",
        "HostConfig": {"NetworkMode": "n1"},
        "NetworkSettings": {
            "Networks": {
                "v4": {"IPAMConfig": {}, "GwPriority": 7, "NetworkID": "f" * 64, "EndpointID": "e2",
                       "IPAddress": "198.51.100.2", "GlobalIPv6Address": "", "DNSNames": None},
                "n1": {"IPAMConfig": None, "GwPriority": 0, "NetworkID": NETWORK_ID, "EndpointID": "e1",
                       "IPAddress": "172.18.0.2", "GlobalIPv6Address": "2001:db8:1::2", "DNSNames": None},
            }
        },
        "Mounts": [],
        **changes,
    }  # fmt: skip


def port(ip: str | None, private: int, public: int | None, protocol: str = "tcp") -> dict[str, object]:
    whole = {"IP": ip, "PrivatePort": private, "PublicPort": public, "Type": protocol}
    return {key: value for key, value in whole.items() if value is not None}


def decoded(**changes: object) -> Container:
    (container,) = decode.containers([listed(**changes)], IMAGES)
    return container


def test_decodes_every_field_of_a_listed_container() -> None:
    assert decoded() == Container(
        id=CONTAINER_ID,
        name="cc",
        created=1795414916,
        labels={"a": "b"},
        ports=(PortBinding("tcp", 80, 8080, ANY4), PortBinding("tcp", 80, 8080, ANY6)),
        endpoints=(
            ContainerEndpoint(NETWORK_ID, "n1", IPv6Address("2001:db8:1::2")),
            ContainerEndpoint("f" * 64, "v4", gw_priority=7),
        ),
        network_mode="n1",
    )


def test_gateway_priority_is_zero_before_engine_28() -> None:
    networks = {"n1": {"NetworkID": NETWORK_ID, "GlobalIPv6Address": "2001:db8:1::2"}}
    assert decoded(NetworkSettings={"Networks": networks}).endpoints == (
        ContainerEndpoint(NETWORK_ID, "n1", IPv6Address("2001:db8:1::2")),
    )


@pytest.mark.parametrize(
    ("names", "own"),
    [
        (["/old"], "old"),
        (["/linker/alias", "/old"], "old"),
        (["/old", "/linker/old"], "old"),
        ([], ""),
        (None, ""),
    ],
)
def test_ignores_names_from_legacy_links(names: object, own: str) -> None:
    assert decoded(Names=names).name == own


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("127.0.0.1", IPv4Address("127.0.0.1")),
        ("::1", IPv6Address("::1")),
        ("2001:db8:99::1", IPv6Address("2001:db8:99::1")),
        ("0.0.0.0", ANY4),
        ("::", ANY6),
        ("", None),
        (None, None),
        ("bogus", None),
    ],
)
def test_decodes_the_host_address_of_a_binding(address: str | None, seen: object) -> None:
    assert decoded(Ports=[port(address, 80, 8080)]).ports == (PortBinding("tcp", 80, 8080, seen),)  # type: ignore[arg-type]


def test_omits_ports_that_are_not_bound() -> None:
    # exposed only, or IPv6 on 28.5 where gateway_mode_ipv6 is "routed"
    assert decoded(Ports=[port(None, 81, None), port("::", 80, None), port("0.0.0.0", 80, 0)]).ports == ()


def test_sorts_and_deduplicates_ports() -> None:
    ports = [
        port("::", 91, 9001, "udp"),
        port("0.0.0.0", 91, 9001, "udp"),
        port("::1", 80, 8083),
        port("0.0.0.0", 91, 9001, "udp"),
        port(None, 80, 8083),
        port("0.0.0.0", 80, 80),
    ]
    assert decoded(Ports=ports).ports == (
        PortBinding("tcp", 80, 80, ANY4),
        PortBinding("tcp", 80, 8083),
        PortBinding("tcp", 80, 8083, IPv6Address("::1")),
        PortBinding("udp", 91, 9001, ANY4),
        PortBinding("udp", 91, 9001, ANY6),
    )


def test_20_10_without_userland_proxy_may_choose_a_port_for_each_family() -> None:
    ports = [port("0.0.0.0", 80, 32771), port("::", 80, 32770)]
    assert decoded(Ports=ports).ports == (PortBinding("tcp", 80, 32770, ANY6), PortBinding("tcp", 80, 32771, ANY4))


@pytest.mark.parametrize("key", ["Names", "Labels", "Ports", "HostConfig", "NetworkSettings", "Created"])
def test_invalid_fields_of_a_listing_read_as_empty(key: str) -> None:
    whole = listed()
    del whole[key]
    (without,) = decode.containers([whole], IMAGES)
    assert without == decoded(**{key: None}) == decoded(**{key: "bogus"})


def test_the_network_mode_defaults_to_default() -> None:
    assert decoded(HostConfig={}).network_mode == "default"
    assert decoded(HostConfig={"NetworkMode": "host"}).network_mode == "host"


def test_sorts_containers_by_id_and_omits_entries_without_one() -> None:
    found = decode.containers([listed(Id="b"), listed(Id=""), None, listed(Id="a")], IMAGES)
    assert [container.id for container in found] == ["a", "b"]
    assert decode.containers(None, {}) == ()


def test_decodes_listings_into_ids_and_networks_in_use() -> None:
    assert decode.container_ids([{"Id": "a"}, {"Id": "b"}]) == ("a", "b")
    stopped, odd = (
        {"NetworkSettings": {"Networks": {"blog": {"NetworkID": "1"}, "new": {"NetworkID": ""}}}},
        {"Id": "c"},
    )
    assert decode.networks_in_use([stopped, odd]) == {"blog", "1", "new"}


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
    assert [c.id for c in decode.containers([item, {"Id": "c"}], IMAGES)] == ["c"]


@pytest.mark.parametrize(
    "port",
    [
        {"PublicPort": 70_000, "PrivatePort": 80, "Type": "tcp"},
        {"PublicPort": -1, "PrivatePort": 80, "Type": "tcp"},
        {"PublicPort": 80, "PrivatePort": 0, "Type": "tcp"},
        {"PublicPort": 80, "PrivatePort": 80, "Type": "quic"},
        {"PublicPort": "80", "PrivatePort": 80},
        None,
    ],
)
def test_a_container_keeps_the_ports_that_can_be_decoded(port: object) -> None:
    good = {"IP": "::", "PublicPort": 8080, "PrivatePort": 80, "Type": "tcp"}
    (container,) = decode.containers([{"Id": "c", "Ports": [port, good]}], IMAGES)
    assert container.ports == (PortBinding("tcp", 80, 8080, ANY6),)
