from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import ClassVar

import pytest

from dockerv6.dockerd.model import Network, SubnetConfig
from dockerv6.planning.docker.network_spec import (
    differences,
    fingerprint,
    gateway,
    network_spec,
    with_spec_hash,
)
from dockerv6.planning.inputs import Identity
from tests.simulation.resources import network
from tests.unit.planning.scene import ENGINE_20_10, ENGINE_28, IDENTITY, SUBNET, created

LABELS = {"dockerv6.io/managed-by": "dockerv6", "dockerv6.io/name": "blog", "dockerv6.io/pool": "default"}


def made(**spec: object) -> Network:
    return created(with_spec_hash(network_spec(network("blog", **spec), SUBNET, IDENTITY)))


def differ(live: Network, engine: str = "28", /, **spec: object) -> tuple[str, ...]:
    want = network_spec(network("blog", **spec), SUBNET, IDENTITY)
    return differences(want, live, ENGINE_28 if engine == "28" else ENGINE_20_10)


def test_the_bridge_is_named_after_the_resource() -> None:
    assert network("blog").bridge_name == "v6-blog"
    assert network("blog", bridge={"name": "br-mine"}).bridge_name == "br-mine"


@pytest.mark.parametrize("name", ["a-resource-with-a-long-name", "a" * 63, "abcdef-ghijklm-x"])
def test_a_long_name_gives_a_bridge_of_15_bytes_that_is_its_own(name: str) -> None:
    found = network(name).bridge_name
    assert len(found) <= 15
    assert found.startswith("v6-a")
    assert found != network(name[:-1] + "y").bridge_name


def test_the_gateway_is_the_first_address_unless_it_is_given() -> None:
    assert gateway(network(), SUBNET) == SUBNET[1]
    fixed = network(addressing={"subnet": str(SUBNET), "gateway": str(SUBNET[7])})
    assert gateway(fixed, SUBNET) == SUBNET[7]


def test_an_empty_spec_asks_for_a_labelled_bridge_network_with_ipv6() -> None:
    want = network_spec(network(), SUBNET, IDENTITY)
    assert (want.name, want.driver, want.enable_ipv4, want.enable_ipv6) == ("blog", "bridge", True, True)
    assert want.options == {"com.docker.network.bridge.name": "v6-blog"}
    assert want.ipam == (SubnetConfig(SUBNET, SUBNET[1]),)
    assert want.labels == LABELS


def test_every_field_reaches_the_engine() -> None:
    want = network_spec(
        network(
            networkName="blog_net",
            internal=True,
            attachable=True,
            labels={"team": "web"},
            options={"com.docker.network.bridge.gateway_mode_ipv6": "routed"},
            bridge={"mtu": 1400, "icc": False},
            ipv4={"subnet": "192.0.2.0/24", "gateway": "192.0.2.7"},
            addressing={"subnet": str(SUBNET), "reserved": [str(SUBNET[2])]},
        ),
        SUBNET,
        Identity("two", "0123"),
    )
    assert want.name == "blog_net"
    assert want.internal
    assert want.attachable
    assert want.options == {
        "com.docker.network.bridge.gateway_mode_ipv6": "routed",
        "com.docker.network.bridge.name": "v6-blog",
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.bridge.enable_icc": "false",
    }
    assert want.labels == {
        "team": "web",
        "dockerv6.io/managed-by": "two",
        "dockerv6.io/installation": "0123",
        "dockerv6.io/name": "blog",
    }
    assert want.ipam == (
        SubnetConfig(IPv4Network("192.0.2.0/24"), IPv4Address("192.0.2.7")),
        SubnetConfig(SUBNET, SUBNET[1], aux_addresses={"reserved-0": str(SUBNET[2])}),
    )


def test_a_created_network_does_not_differ_from_its_specification() -> None:
    assert differ(made()) == ()


def test_a_hash_of_another_version_is_no_difference() -> None:
    live = made()
    assert differ(replace(live, labels={**live.labels, "dockerv6.io/spec-hash": "0000"})) == ()


def test_a_network_of_a_version_without_installations_does_not_differ() -> None:
    want = network_spec(network(), SUBNET, Identity(installation="0123"))
    assert differences(want, made(), ENGINE_28) == ()
    assert fingerprint(want) == fingerprint(network_spec(network(), SUBNET, IDENTITY))


def test_the_hash_depends_on_the_specification() -> None:
    one, other = (network_spec(network(internal=i), SUBNET, IDENTITY) for i in (False, True))
    assert fingerprint(one) == fingerprint(with_spec_hash(one))
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"networkName": "other"}, "name is blog, should be other"),
        ({"internal": True}, "internal is False, should be True"),
        ({"attachable": True}, "attachable is False, should be True"),
        ({"ipv4": {"enabled": False}}, "IPv4 is True, should be False"),
        ({"labels": {"team": "web"}}, "label team is unset, should be web"),
        ({"bridge": {"mtu": 1400}}, "option com.docker.network.driver.mtu is unset, should be 1400"),
        (
            {"bridge": {"name": "br-mine"}},
            "option com.docker.network.bridge.name is v6-blog, should be br-mine",
        ),
        ({"ipv4": {"subnet": "192.0.2.0/24"}}, "subnet is 172.18.0.0/16, should be 192.0.2.0/24"),
    ],
)
def test_a_changed_specification_is_described(spec: dict[str, object], expected: str) -> None:
    assert expected in differ(made(), **spec)


def test_what_is_no_longer_asked_for_is_a_difference() -> None:
    live = made(labels={"team": "web"}, bridge={"mtu": 1400})
    assert differ(live) == (
        "option com.docker.network.driver.mtu is 1400, should be unset",
        "label team is web, should be unset",
    )


def test_another_subnet_is_a_difference() -> None:
    live = replace(made(), ipam=(SubnetConfig(IPv6Network("fd00::/64")),))
    assert differ(live) == (f"subnet is fd00::/64, should be {SUBNET}",)
    assert differ(replace(live, ipam=())) == (f"subnet is none, should be {SUBNET}",)


def test_another_gateway_and_other_reserved_addresses_are_differences() -> None:
    live = made()
    other = replace(live, ipam=(SubnetConfig(SUBNET, SUBNET[9], aux_addresses={"x": str(SUBNET[2])}),))
    assert differ(other) == (f"gateway is {SUBNET[9]}, should be {SUBNET[1]}", "reserved addresses differ")


def test_a_gateway_that_the_engine_does_not_report_is_none() -> None:
    assert differ(replace(made(), ipam=(SubnetConfig(SUBNET),))) == ()


def test_the_order_of_subnets_and_the_engines_ipv4_subnet_are_none() -> None:
    live = made()
    assert differ(replace(live, ipam=live.ipam[::-1])) == ()


def test_ipv4_is_not_compared_on_an_engine_that_does_not_report_it() -> None:
    assert differ(made(), "20.10", ipv4={"enabled": False}) == ()


@pytest.mark.parametrize("key", ["com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6"])
def test_options_that_engines_always_add_are_none(key: str) -> None:
    live = made()
    assert differ(replace(live, options={**live.options, key: "true"}, labels=LABELS)) == ()


def test_options_that_this_engine_adds_to_every_network_are_none() -> None:
    live = made()
    extra = replace(live, options={**live.options, "com.docker.network.driver.mtu": "1450"})
    assert differ(extra) == ()
    assert differ(extra, bridge={"mtu": 1400}) != ()
    assert (
        differ(replace(extra, labels=LABELS)) != ()
    )  # without the hash, it may have been created from another specification


class TestGatewayMode:
    """What makes engines from 28.2 on let packets through to containers' own addresses."""

    MODE = "com.docker.network.bridge.gateway_mode_ipv6"
    ROUTED: ClassVar[dict[str, object]] = {"egress": {"mode": "Routed"}}

    def mode(self, release: tuple[int, int] | None, **spec: object) -> str | None:
        engine = replace(ENGINE_28, release=release) if release is not None else None
        return network_spec(network("blog", **spec), SUBNET, IDENTITY, engine).options.get(self.MODE)

    @pytest.mark.parametrize(
        ("release", "mode"), [(None, None), ((20, 10), None), ((26, 1), None), ((27, 0), "routed"), ((29, 1), "routed")]
    )
    def test_engines_that_know_the_option_get_it(self, release: tuple[int, int] | None, mode: str | None) -> None:
        assert self.mode(release, **self.ROUTED) == mode

    @pytest.mark.parametrize("egress", [{}, {"mode": "None"}, {"mode": "SNAT", "snatAddress": "2001:db8::1"}], ids=str)
    def test_other_modes_ask_for_none(self, egress: dict[str, object]) -> None:
        assert self.mode((28, 5), egress=egress) is None

    def test_the_resources_own_option_goes_before(self) -> None:
        assert self.mode((28, 5), **self.ROUTED, options={self.MODE: "nat-unprotected"}) == "nat-unprotected"

    def test_an_engine_that_does_not_know_it_has_no_difference_either_way(self) -> None:
        resource = network("blog", **self.ROUTED)
        for made_by, compared_by in ((ENGINE_28, ENGINE_20_10), (ENGINE_20_10, ENGINE_20_10)):
            there = created(with_spec_hash(network_spec(resource, SUBNET, IDENTITY, made_by)))
            want = network_spec(resource, SUBNET, IDENTITY, compared_by)
            assert differences(want, there, compared_by) == ()
            own = network_spec(network("blog", options={self.MODE: "routed"}), SUBNET, IDENTITY, compared_by)
            assert differences(own, there, compared_by) == ()

    def test_one_that_knows_it_has(self) -> None:
        resource = network("blog", **self.ROUTED)
        there = created(with_spec_hash(network_spec(resource, SUBNET, IDENTITY, ENGINE_20_10)))
        want = network_spec(resource, SUBNET, IDENTITY, ENGINE_28)
        assert differences(want, there, ENGINE_28) == (f"option {self.MODE} is unset, should be routed",)
