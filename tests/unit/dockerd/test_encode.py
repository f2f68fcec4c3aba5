from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd import encode
from dockerv6.dockerd.dialect import Dialect
from dockerv6.dockerd.model import Attachment, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineTooOld

OLD = Dialect("20.10.24", (1, 41))
NEW = Dialect("28.5.2", (1, 51))
NEWEST = Dialect("29.4.0", (1, 56))

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


def test_encodes_a_whole_network() -> None:
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


def test_says_outright_that_ipv6_is_not_wanted() -> None:
    body = encode.network(NetworkSpec("plain", enable_ipv6=False), NEW)
    assert body["EnableIPv6"] is False
    assert "IPAM" not in body


@pytest.mark.parametrize("wanted", [True, False])
def test_says_whether_ipv4_is_wanted_to_those_who_understand(wanted: bool) -> None:  # noqa: FBT001 - parametrized
    assert encode.network(NetworkSpec("n", enable_ipv4=wanted), NEW)["EnableIPv4"] is wanted


@pytest.mark.parametrize("engine", [OLD, Dialect("27.5.1", (1, 47))])
def test_refuses_what_the_engine_would_ignore_silently(engine: Dialect) -> None:
    with pytest.raises(EngineTooOld, match=rf"network n: Docker Engine {engine.version}.* upgrade to Docker Engine 28"):
        encode.network(NetworkSpec("n", enable_ipv4=False), engine)


WISH = Attachment(
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


def test_encodes_a_whole_connection_for_the_newest_engine() -> None:
    assert encode.connection(WISH, NEWEST) == {
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
     (Dialect("17.05", (1, 29)), {"MacAddress", "GwPriority", "DriverOpts"})],
)  # fmt: skip
def test_leaves_out_what_older_engines_do_not_know(engine: Dialect, left_out: set[str]) -> None:
    everything = encode.connection(WISH, NEWEST)["EndpointConfig"]
    endpoint = encode.connection(WISH, engine)["EndpointConfig"]
    assert isinstance(everything, dict)
    assert isinstance(endpoint, dict)
    assert everything.keys() - endpoint.keys() == left_out


def test_asks_for_no_address_that_nobody_asked_for() -> None:
    used = Attachment("c1", "web", running=True, ipv6=IPv6Address("2001:db8::2"))
    assert encode.connection(used, NEW) == {"Container": "c1", "EndpointConfig": {}}


def test_encodes_a_disconnection() -> None:
    assert encode.disconnection("c1", force=True) == {"Container": "c1", "Force": True}
