from dataclasses import replace

import pytest

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.planning.docker.engine import engine_findings, raw_drop_findings
from tests.simulation.resources import network
from tests.unit.planning.scene import ENGINE_20_10, ENGINE_28, observed, reasons


def test_an_engine_that_does_not_answer_is_reported() -> None:
    assert engine_findings(observed()) == ()
    assert reasons(engine_findings(observed(engine=None))) == [("NetworkReady", "EngineUnavailable")]


class TestRawDrop:
    """Engines from 28.2 on drop what is sent to a container's own address."""

    def found(self, resource: NetworkResource, engine: object = ENGINE_28, **options: str) -> list[str]:
        spec = resource.spec
        found = raw_drop_findings(spec.egress, spec.firewall, engine, options)  # type: ignore[arg-type]
        assert all(f.unknown and not f.blocks for f in found)
        return [f.message.partition("for spec.")[2].partition(" to work")[0] for f in found]

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"egress": {"mode": "Routed"}}, "egress.mode: Routed"),
            ({"egress": {"exclude": ["fd00::/8"]}}, "egress.exclude"),
            ({"firewall": {"ingress": [{}]}}, "firewall.ingress"),
            ({"firewall": {"isolation": False}}, "firewall.isolation: false"),
        ],
        ids=str,
    )
    def test_what_needs_it_is_named(self, spec: dict[str, object], field: str) -> None:
        assert self.found(network("blog", **spec)) == [field]

    def test_ports_need_it_not(self) -> None:
        assert self.found(network()) == []

    @pytest.mark.parametrize("engine", [None, ENGINE_20_10, replace(ENGINE_28, release=(28, 1))])
    def test_older_engines_drop_nothing(self, engine: object) -> None:
        assert self.found(network(firewall={"ingress": [{}]}), engine) == []

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("gateway_mode_ipv6", "routed"),
            ("gateway_mode_ipv6", "nat-unprotected"),
            ("trusted_host_interfaces", "eth0"),
        ],
    )
    def test_a_driver_option_of_the_network_prevents_the_drop(self, option: str, value: str) -> None:
        want = network(firewall={"ingress": [{}]})
        assert self.found(want, **{f"com.docker.network.bridge.{option}": value}) == []

    @pytest.mark.parametrize("value", ["nat", "isolated", ""])
    def test_a_gateway_mode_that_drops_does_not_help(self, value: str) -> None:
        want = network(firewall={"ingress": [{}]})
        assert self.found(want, **{"com.docker.network.bridge.gateway_mode_ipv6": value}) == ["firewall.ingress"]

    def test_packets_to_an_external_prefix_are_not_dropped(self) -> None:
        translated = {"mode": "PrefixTranslation", "prefix": "2001:db8::/64"}
        assert self.found(network(egress=translated, firewall={"ingress": [{}]})) == []
