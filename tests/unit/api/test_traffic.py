"""The blocks egress, publish, firewall and ndpProxy."""

from ipaddress import IPv6Address, IPv6Network

import pytest

from tests.unit.api.checks import Spec, document, errors, fields, network, network_errors

GOOD: list[Spec] = [
    {},
    {"interfaces": ["eth0"], "exclude": ["fd00::/8", "2001:db8::1"]},
    {"mode": "SNAT", "snatAddress": "2001:db8::1"},
    {"mode": "PrefixTranslation", "prefix": "2001:db8:1::/64"},
    {"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}},
    {"mode": "Routed", "interfaces": ["eth0"]},
    {"mode": "None"},
]

BAD: list[tuple[Spec, list[str]]] = [
    ({"mode": "SNAT"}, ["snatAddress"]),
    ({"snatAddress": "2001:db8::1"}, ["snatAddress"]),
    ({"mode": "SNAT", "snatAddress": "fe80::1"}, ["snatAddress"]),
    ({"mode": "PrefixTranslation"}, ["prefix"]),
    ({"mode": "PrefixTranslation", "prefix": "2001:db8:1::/64", "prefixFrom": {"interface": "eth0"}}, ["prefix"]),
    ({"prefix": "2001:db8:1::/64"}, ["prefix"]),
    ({"mode": "Routed", "prefixFrom": {"interface": "eth0"}}, ["prefixFrom"]),
    ({"mode": "None", "interfaces": ["eth0"]}, ["interfaces"]),
    ({"mode": "Routed", "exclude": ["fd00::/8"]}, ["exclude"]),
    ({"mode": "None", "exclude": ["fd00::/8"], "interfaces": ["eth0"]}, ["interfaces", "exclude"]),
]


@pytest.mark.parametrize("egress", GOOD, ids=str)
def test_fields_of_the_mode_are_valid(egress: Spec) -> None:
    assert network_errors({"egress": egress}) == ()


@pytest.mark.parametrize(("egress", "where"), BAD, ids=str)
@pytest.mark.parametrize("kind", ["IPv6Network", "IPv6Policy"])
def test_fields_without_effect_are_invalid(kind: str, egress: Spec, where: list[str]) -> None:
    assert fields(errors(document(kind, {"egress": egress}))) == [f"spec.egress.{name}" for name in where]


def test_a_translation_prefix_is_not_longer_than_the_subnet() -> None:
    egress = {"mode": "PrefixTranslation", "prefix": "2001:db8:1::/80"}
    assert fields(network_errors({"egress": egress, "addressing": {"subnet": "fd00:1::/64"}})) == ["spec.egress.prefix"]
    assert network_errors({"egress": egress, "addressing": {"subnet": "fd00:1::/80"}}) == ()


def test_the_default_is_masquerade_out_of_any_interface() -> None:
    egress = network().spec.egress
    assert (egress.mode, egress.interfaces, egress.exclude) == ("Masquerade", (), ())


def test_containers_are_isolated_by_default() -> None:
    assert network().spec.firewall.isolation
    assert not network({"firewall": {"isolation": False}}).spec.firewall.isolation


def test_an_ingress_rule() -> None:
    rule = {
        "from": ["2001:db8::/32"],
        "ports": [{"protocol": "udp", "port": 53}, {"port": 53}],
        "containers": {"name": "dns"},
    }
    (read,) = network({"egress": {"mode": "Routed"}, "firewall": {"ingress": [rule]}}).spec.firewall.ingress
    assert [(port.protocol, port.port) for port in read.ports] == [("udp", 53), ("tcp", 53)]


def test_an_ndp_interface_requires_the_proxy_to_be_enabled() -> None:
    assert fields(network_errors({"ndpProxy": {"interface": "eth0"}})) == ["spec.ndpProxy.interface"]


def test_an_ndp_proxy_conflicts_with_masquerade_and_snat() -> None:
    for kind in ("IPv6Network", "IPv6Policy"):
        spec: dict[str, object] = {"ndpProxy": {"enabled": True, "interface": "eth0"}}
        assert fields(errors(document(kind, spec))) == ["spec.ndpProxy.enabled"]
        assert errors(document(kind, {**spec, "egress": {"mode": "Routed"}})) == ()


WEB: Spec = {"containers": {"name": "web"}}


def test_a_port_has_sensible_defaults() -> None:
    (port,) = network({"publish": {"ports": [{"port": 80, **WEB}]}}).spec.publish.ports
    assert (port.protocol, port.container_port, port.from_prefixes, port.host_address) == ("tcp", 80, (), None)


def test_every_field_of_a_port() -> None:
    written = {
        "name": "http",
        "protocol": "sctp",
        "port": 80,
        "containers": {"matchLabels": {"com.docker.compose.service": "web"}},
        "targetPort": 8080,
        "from": ["2001:db8::/32", "2001:db8:1::1"],
        "hostAddress": "2001:db8::7",
    }
    (port,) = network({"publish": {"ports": [written]}}).spec.publish.ports
    assert port.container_port == 8080
    assert port.from_prefixes == (IPv6Network("2001:db8::/32"), IPv6Network("2001:db8:1::1/128"))
    assert port.host_address == IPv6Address("2001:db8::7")


@pytest.mark.parametrize(
    ("publish", "where"),
    [
        ({"hostAddress": "fe80::1"}, ["hostAddress"]),
        ({"hostAddress": "ff02::1"}, ["hostAddress"]),
        ({"ports": [{"port": 0, **WEB}]}, ["ports[0].port"]),
        ({"ports": [{"port": 65536, **WEB}]}, ["ports[0].port"]),
        ({"ports": [{"port": 80}]}, ["ports[0].containers"]),
        ({"ports": [{"port": 80, "containers": {}}]}, ["ports[0].containers"]),
        (
            {"ports": [{"port": 80, "containers": {"name": "web", "matchLabels": {"a": "b"}}}]},
            ["ports[0].containers.name"],
        ),
        ({"ports": [{"port": 80, "containers": {"name": "/web"}}]}, ["ports[0].containers.name"]),
        (
            {"ports": [{"port": 80, "containers": {"matchLabels": {" ": "b"}}}]},
            ["ports[0].containers.matchLabels[' ']"],
        ),
        ({"ports": [{"port": 80, **WEB}, {"port": 80, **WEB}]}, ["ports[1].port"]),
        ({"ports": [{"port": 80, **WEB}, {"port": 80, "hostAddress": "::", **WEB}]}, ["ports[1].port"]),
        ({"ports": [{"port": 80, "name": "a", **WEB}, {"port": 81, "name": "a", **WEB}]}, ["ports[1].name"]),
        ({"ports": [{"port": 80, "protocol": "icmp", **WEB}]}, ["ports[0].protocol"]),
    ],
    ids=str,
)
def test_invalid_ports_have_errors(publish: Spec, where: list[str]) -> None:
    assert fields(network_errors({"publish": publish})) == [f"spec.publish.{name}" for name in where]


def test_one_port_may_serve_several_protocols_and_addresses() -> None:
    ports = [{"port": 53, **WEB}, {"port": 53, "protocol": "udp", **WEB}, {"port": 53, "hostAddress": "::1", **WEB}]
    assert network_errors({"publish": {"ports": ports}}) == ()
