"""Isolation, ingress and NDP proxies."""

from tests.unit.api.checks import document, errors, fields, network, network_errors


def test_containers_are_isolated_unless_told_otherwise() -> None:
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


def test_an_ndp_interface_needs_the_proxy_to_be_on() -> None:
    assert fields(network_errors({"ndpProxy": {"interface": "eth0"}})) == ["spec.ndpProxy.interface"]


def test_an_ndp_proxy_needs_addresses_that_are_seen_outside() -> None:
    for kind in ("IPv6Network", "IPv6Policy"):
        spec: dict[str, object] = {"ndpProxy": {"enabled": True, "interface": "eth0"}}
        assert fields(errors(document(kind, spec))) == ["spec.ndpProxy.enabled"]
        assert errors(document(kind, {**spec, "egress": {"mode": "Routed"}})) == ()
