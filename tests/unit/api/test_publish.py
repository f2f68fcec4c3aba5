"""Published ports."""

from ipaddress import IPv6Address, IPv6Network

import pytest

from tests.unit.api.checks import Spec, fields, network, network_errors

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
def test_what_can_not_be_published_is_refused(publish: Spec, where: list[str]) -> None:
    assert fields(network_errors({"publish": publish})) == [f"spec.publish.{name}" for name in where]


def test_one_port_may_serve_several_protocols_and_addresses() -> None:
    ports = [{"port": 53, **WEB}, {"port": 53, "protocol": "udp", **WEB}, {"port": 53, "hostAddress": "::1", **WEB}]
    assert network_errors({"publish": {"ports": ports}}) == ()
