"""How an engine's JSON about containers is read; the listings are as the named engines sent them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from dockerv6.dockerd import decode_containers
from dockerv6.dockerd.model import Container, ContainerEndpoint, PortBinding

NETWORK_ID = "7e4aa139b970d2516e0b4a723b062ef60a3f503f71e68630c231da9bdbb16e71"
CONTAINER_ID = "13e5a8ae2538ad92d0cc32de5b508e27cd335b5a9c34a0b4e238f2e913d91644"
ANY4, ANY6 = IPv4Address("0.0.0.0"), IPv6Address("::")


def entry(**changes: object) -> dict[str, object]:
    """As engine 20.10 shows a running container's configuration for one network."""
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
    found = decode_containers.attachment(inspected_container({"other": {}, "n1": entry()}), NETWORK_ID, "n1")
    assert found is not None
    assert (found.container_id, found.container_name, found.running) == (CONTAINER_ID, "c1", True)
    assert found.aliases == ("www",)
    assert found.links == ("db:database",)
    assert (found.ipv4, found.ipv6) == (IPv4Address("192.0.2.2"), IPv6Address("2001:db8:1::99"))
    assert (found.static_ipv4, found.static_ipv6) == (None, IPv6Address("2001:db8:1::99"))
    assert found.mac_address is None


def test_decodes_what_newer_engines_tell() -> None:
    newer = entry(
        GwPriority=7, DriverOpts={"k": "v"}, DNSNames=["c1"], IPAMConfig={"LinkLocalIPs": ["fe80::7"]}, Aliases=None
    )
    found = decode_containers.attachment(inspected_container({"n1": newer}), NETWORK_ID, "n1")
    assert found is not None
    assert (found.gw_priority, found.driver_opts, found.link_local_ips) == (7, {"k": "v"}, ("fe80::7",))
    assert found.aliases == ()


@pytest.mark.parametrize("key", ["n1", NETWORK_ID])
def test_a_container_that_never_ran_is_known_by_name_or_id(key: str) -> None:
    unstarted = inspected_container({key: entry(NetworkID="")}, State={"Running": False})
    found = decode_containers.attachment(unstarted, NETWORK_ID, "n1")
    assert found is not None
    assert not found.running


def test_an_entry_of_the_same_name_with_another_id_is_no_attachment() -> None:
    assert (
        decode_containers.attachment(inspected_container({"n1": entry(NetworkID="f" * 64)}), NETWORK_ID, "n1") is None
    )


@pytest.mark.parametrize("gone", [None, {}, {"NetworkSettings": None}, {"NetworkSettings": {"Networks": None}}])
def test_what_is_no_container_has_no_attachment(gone: object) -> None:
    assert decode_containers.attachment(gone, NETWORK_ID, "n1") is None
    assert decode_containers.orphaned_attachments(gone, "n1", frozenset()) is None


def test_stranded_is_who_names_an_id_that_is_no_more() -> None:
    container = inspected_container({"n1": entry()})
    assert decode_containers.orphaned_attachments(container, "n1", frozenset({"f" * 64})) is not None
    assert decode_containers.orphaned_attachments(container, "n1", frozenset({NETWORK_ID})) is None
    assert decode_containers.orphaned_attachments(container, "n2", frozenset()) is None
    assert (
        decode_containers.orphaned_attachments(inspected_container({"n1": entry(NetworkID="")}), "n1", frozenset())
        is None
    )


@pytest.mark.parametrize(
    ("mode", "asked"), [("n1", "02:42:aa:bb:cc:dd"), (NETWORK_ID, "02:42:aa:bb:cc:dd"), ("n2", None), ("", None)]
)
def test_a_mac_address_was_asked_for_on_the_first_network_only(mode: str, asked: str | None) -> None:
    container = inspected_container(
        {"n1": entry()}, Config={"MacAddress": "02:42:aa:bb:cc:dd"}, HostConfig={"NetworkMode": mode}
    )
    found = decode_containers.attachment(container, NETWORK_ID, "n1")
    assert found is not None
    assert found.mac_address == asked


def listed(**changes: object) -> dict[str, object]:
    """As engine 28.5 lists a running container."""
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
    (container,) = decode_containers.containers([listed(**changes)])
    return container


def test_decodes_a_whole_listed_container() -> None:
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


def test_engines_before_28_list_no_gateway_priority() -> None:
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
def test_a_containers_own_name_is_the_one_that_no_link_gave(names: object, own: str) -> None:
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
def test_a_binding_has_the_address_that_the_engine_says(address: str | None, seen: object) -> None:
    assert decoded(Ports=[port(address, 80, 8080)]).ports == (PortBinding("tcp", 80, 8080, seen),)  # type: ignore[arg-type]


def test_ports_that_are_not_bound_are_left_out() -> None:
    # exposed only; and what 28.5 shows for IPv6 where gateway_mode_ipv6 is "routed"
    assert decoded(Ports=[port(None, 81, None), port("::", 80, None), port("0.0.0.0", 80, 0)]).ports == ()


def test_ports_are_ordered_and_told_once() -> None:
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
def test_null_absence_and_nonsense_are_emptiness_in_a_listing(key: str) -> None:
    whole = listed()
    del whole[key]
    (without,) = decode_containers.containers([whole])
    assert without == decoded(**{key: None}) == decoded(**{key: "bogus"})


def test_a_container_that_says_no_mode_has_the_default_one() -> None:
    assert decoded(HostConfig={}).network_mode == "default"
    assert decoded(HostConfig={"NetworkMode": "host"}).network_mode == "host"


def test_containers_are_ordered_by_id_and_what_has_none_is_left_out() -> None:
    found = decode_containers.containers([listed(Id="b"), listed(Id=""), None, listed(Id="a")])
    assert [container.id for container in found] == ["a", "b"]
    assert decode_containers.containers(None) == ()


def test_decodes_listings_as_ids_and_networks_alone() -> None:
    assert decode_containers.ids([{"Id": "a"}, {"Id": "b"}]) == ("a", "b")
    stopped, odd = (
        {"NetworkSettings": {"Networks": {"blog": {"NetworkID": "1"}, "new": {"NetworkID": ""}}}},
        {"Id": "c"},
    )
    assert decode_containers.networks_in_use([stopped, odd]) == {"blog", "1", "new"}
