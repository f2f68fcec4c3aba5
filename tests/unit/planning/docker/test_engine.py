from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.dockerd.model import EngineInfo
from dockerv6.planning.docker.engine import engine_findings, raw_drop_findings
from tests.simulation.resources import network
from tests.unit.planning.scene import ENGINE_20_10, ENGINE_28, host, observed, reasons, route


def test_an_engine_that_does_not_answer_is_reported() -> None:
    assert engine_findings(observed()) == ()
    assert reasons(engine_findings(observed(engine=None))) == [("NetworkReady", "EngineUnavailable")]


class TestRawDrop:
    """Engines from 28.2 on drop what is sent to a container's own address."""

    def found(
        self,
        resource: NetworkResource,
        engine: EngineInfo | None = ENGINE_28,
        options: Mapping[str, str] = MappingProxyType({}),
        *,
        tried: bool = False,
    ) -> list[str]:
        spec = resource.spec
        found = raw_drop_findings(spec.egress, spec.firewall, observed(engine=engine), options, tried=tried)
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
    def test_older_engines_drop_nothing(self, engine: EngineInfo | None) -> None:
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
        assert self.found(want, options={f"com.docker.network.bridge.{option}": value}) == []

    @pytest.mark.parametrize(
        ("spec", "left"),
        [
            ({"egress": {"mode": "Routed"}}, []),
            ({"firewall": {"ingress": [{"from": ["2001:db8:7::/48"]}]}}, []),
            ({"firewall": {"ingress": [{}], "isolation": False}}, ["firewall.isolation: false"]),
            ({"egress": {"exclude": ["2001:db8:6::/48"]}, "firewall": {"ingress": [{}]}}, ["egress.exclude"]),
        ],
        ids=str,
    )
    def test_what_a_packet_walk_followed_is_left_to_it(self, spec: dict[str, object], left: list[str]) -> None:
        assert self.found(network("blog", **spec), tried=True) == left

    def test_the_option_names_the_interfaces_through_which_clients_come(self) -> None:
        def option(egress: dict[str, object], *interfaces: str) -> str:
            spec = network("blog", egress=egress, firewall={"ingress": [{}]}).spec
            routes = tuple(route("::/0", each) for each in interfaces)
            seen = observed(host=host(routes=routes))
            (found,) = raw_drop_findings(spec.egress, spec.firewall, seen, {}, tried=False)
            return found.message.partition("options: ")[2].partition(" or ")[0]

        name = "com.docker.network.bridge.trusted_host_interfaces"
        assert option({}, "enp7s0") == f'{{{name}: "enp7s0"}}'
        assert option({}, "wan1", "wan0") == f'{{{name}: "wan0:wan1"}}'
        assert option({"interfaces": ["ppp0"]}, "enp7s0") == f'{{{name}: "ppp0"}}'

    @pytest.mark.parametrize("value", ["nat", "isolated", ""])
    def test_a_gateway_mode_that_drops_does_not_help(self, value: str) -> None:
        want = network(firewall={"ingress": [{}]})
        assert self.found(want, options={"com.docker.network.bridge.gateway_mode_ipv6": value}) == ["firewall.ingress"]

    def test_packets_to_an_external_prefix_are_not_dropped(self) -> None:
        translated = {"mode": "PrefixTranslation", "prefix": "2001:db8::/64"}
        assert self.found(network(egress=translated, firewall={"ingress": [{}]})) == []
