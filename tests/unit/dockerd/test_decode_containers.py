from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from dockerv6.dockerd import attachments, decode
from dockerv6.dockerd.model import (
    Container,
    ContainerEndpoint,
    PortBinding,
)

NETWORK_ID = "7e4aa139b970d2516e0b4a723b062ef60a3f503f71e68630c231da9bdbb16e71"
CONTAINER_ID = "13e5a8ae2538ad92d0cc32de5b508e27cd335b5a9c34a0b4e238f2e913d91644"
ANY4, ANY6 = IPv4Address("0.0.0.0"), IPv6Address("::")


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
    found = attachments.attachment(inspected_container({"other": {}, "n1": entry()}), NETWORK_ID, "n1")
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
    found = attachments.attachment(inspected_container({"n1": newer}), NETWORK_ID, "n1")
    assert found is not None
    assert (found.gw_priority, found.driver_opts, found.link_local_ips) == (7, {"k": "v"}, ("fe80::7",))
    assert found.aliases == ()


@pytest.mark.parametrize("key", ["n1", NETWORK_ID])
def test_finds_the_attachment_of_a_container_that_never_ran(key: str) -> None:
    unstarted = inspected_container({key: entry(NetworkID="")}, State={"Running": False})
    found = attachments.attachment(unstarted, NETWORK_ID, "n1")
    assert found is not None
    assert not found.running


def test_an_entry_with_another_network_id_is_not_an_attachment() -> None:
    assert attachments.attachment(inspected_container({"n1": entry(NetworkID="f" * 64)}), NETWORK_ID, "n1") is None


@pytest.mark.parametrize("gone", [None, {}, {"NetworkSettings": None}, {"NetworkSettings": {"Networks": None}}])
def test_a_missing_container_has_no_attachment(gone: object) -> None:
    assert attachments.attachment(gone, NETWORK_ID, "n1") is None
    assert attachments.orphaned_attachment(gone, "n1", frozenset()) is None


def test_an_attachment_is_orphaned_when_its_network_id_no_longer_exists() -> None:
    container = inspected_container({"n1": entry()})
    assert attachments.orphaned_attachment(container, "n1", frozenset({"f" * 64})) is not None
    assert attachments.orphaned_attachment(container, "n1", frozenset({NETWORK_ID})) is None
    assert attachments.orphaned_attachment(container, "n2", frozenset()) is None
    assert attachments.orphaned_attachment(inspected_container({"n1": entry(NetworkID="")}), "n1", frozenset()) is None


@pytest.mark.parametrize(
    ("mode", "requested"), [("n1", "02:42:aa:bb:cc:dd"), (NETWORK_ID, "02:42:aa:bb:cc:dd"), ("n2", None), ("", None)]
)
def test_a_mac_address_is_requested_on_the_first_network_only(mode: str, requested: str | None) -> None:
    container = inspected_container(
        {"n1": entry()}, Config={"MacAddress": "02:42:aa:bb:cc:dd"}, HostConfig={"NetworkMode": mode}
    )
    found = attachments.attachment(container, NETWORK_ID, "n1")
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
    assert decode.containers([], {}) == ()


def test_decodes_listings_into_ids_and_networks_in_use() -> None:
    assert decode.container_ids([{"Id": "a"}, None, {"Id": ""}, {"Id": "b"}]) == ("a", "b")
    stopped, odd = (
        {"NetworkSettings": {"Networks": {"blog": {"NetworkID": "1"}, "new": {"NetworkID": ""}}}},
        {"Id": "c"},
    )
    assert decode.networks_in_use([stopped, odd]) == {"blog", "1", "new"}


@pytest.mark.parametrize("item", [None, "text", 5, [], {}])
def test_an_item_that_is_no_container_does_not_lose_the_list(item: object) -> None:
    assert [c.id for c in decode.containers([item, {"Id": "c"}], IMAGES)] == ["c"]


@pytest.mark.parametrize(
    "port",
    [
        {"PublicPort": 70_000, "PrivatePort": 80, "Type": "tcp"},
        {"PublicPort": -1, "PrivatePort": 80, "Type": "tcp"},
        {"PublicPort": 80, "PrivatePort": 0, "Type": "tcp"},
        {"PublicPort": 80, "PrivatePort": 80, "Type": "quic"},
        {"PublicPort": "80", "PrivatePort": 80},
        {"IP": "fe80::1%eth0", "PublicPort": 80, "PrivatePort": 80, "Type": "tcp"},
        {"IP": "everywhere", "PublicPort": 80, "PrivatePort": 80, "Type": "tcp"},
        None,
    ],
)
def test_a_container_keeps_the_ports_that_can_be_decoded(port: object) -> None:
    good = {"IP": "::", "PublicPort": 8080, "PrivatePort": 80, "Type": "tcp"}
    (container,) = decode.containers([{"Id": "c", "Ports": [port, good]}], IMAGES)
    assert container.ports == (PortBinding("tcp", 80, 8080, ANY6),)
