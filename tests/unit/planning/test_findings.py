from dataclasses import replace

import pytest

from dockerv6.api.conditions import Reason
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.planning.docker.engine import engine_findings, raw_drop_findings
from dockerv6.planning.firewall.port_assignment import PORT_RETRY
from dockerv6.planning.firewall.port_claims import port_finding
from dockerv6.planning.firewall.rules import repaired_table, rules_findings
from dockerv6.planning.inputs import HostView, RulesView
from dockerv6.planning.plan import Finding
from tests.simulation.resources import network
from tests.unit.planning.scene import ENGINE_20_10, ENGINE_28, observed, reasons

PENDING = port_finding(Reason.ADDRESS_PENDING, "it has no address", waiting=True)
NOBODY = port_finding(Reason.NO_ENDPOINT, "nobody is there", waiting=True)
CONFLICT = port_finding(Reason.PORT_CONFLICT, "it is another's")
TAKEN = port_finding(Reason.PORT_TAKEN, "somebody listens", retry=PORT_RETRY)


def ports(*problems: Finding) -> Finding:
    (found,) = rules_findings(RulesView(port_problems={"blog": problems, "other": (TAKEN,)}), "blog", HostView())
    assert (found.condition, found.blocks) == ("PortsPublished", False)
    return found


def test_rules_that_are_in_order_say_nothing() -> None:
    others = RulesView(port_problems={"other": (CONFLICT,)}, excluded={"other": "x"})
    assert rules_findings(others, "blog", HostView()) == ()


@pytest.mark.parametrize("problem", [PENDING, NOBODY])
def test_a_port_that_only_waits_is_no_fault(problem: Finding) -> None:
    found = ports(problem)
    assert (found.reason, found.unknown, found.retry) == (problem.reason, True, None)


def test_a_port_of_somebody_else_is_a_fault() -> None:
    found = ports(CONFLICT)
    assert (found.reason, found.unknown, found.retry, found.message) == (
        "PortConflict",
        False,
        None,
        "it is another's",
    )


def test_a_port_that_a_process_has_is_looked_at_again() -> None:
    assert (ports(TAKEN).reason, ports(TAKEN).retry) == ("PortTaken", PORT_RETRY)
    assert ports(CONFLICT, TAKEN).retry == PORT_RETRY


def test_faults_go_before_what_waits_and_are_all_said() -> None:
    found = ports(PENDING, CONFLICT, TAKEN)
    assert (found.reason, found.unknown) == ("PortConflict", False)
    assert found.message == "it is another's; somebody listens"
    assert ports(NOBODY, PENDING).message == "nobody is there; it has no address"


def test_what_keeps_the_table_from_being_right_blocks_or_waits() -> None:
    (gone,) = rules_findings(RulesView(problem="no nft"), "blog", HostView())
    assert (gone.reason, gone.blocks) == ("FirewallUnavailable", True)
    (overlap,) = rules_findings(RulesView(excluded={"blog": "x overlaps"}), "blog", HostView())
    assert (overlap.reason, overlap.blocks, overlap.unknown) == ("SubnetOverlap", False, False)
    assert overlap.retry


def test_another_program_for_the_same_networks_is_told_of() -> None:
    (rival,) = rules_findings(RulesView(rival="docker-ipv6nat runs"), "blog", HostView())
    assert (rival.reason, rival.unknown, rival.blocks) == ("ForeignRules", True, False)


def test_a_silent_engine_is_told_of() -> None:
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
    def test_an_option_of_the_network_answers_it(self, option: str, value: str) -> None:
        wish = network(firewall={"ingress": [{}]})
        assert self.found(wish, **{f"com.docker.network.bridge.{option}": value}) == []

    @pytest.mark.parametrize("value", ["nat", "isolated", ""])
    def test_a_gateway_mode_that_drops_is_no_answer(self, value: str) -> None:
        wish = network(firewall={"ingress": [{}]})
        assert self.found(wish, **{"com.docker.network.bridge.gateway_mode_ipv6": value}) == ["firewall.ingress"]

    def test_what_is_sent_to_an_outer_prefix_was_not_sent_to_the_container(self) -> None:
        translated = {"mode": "PrefixTranslation", "prefix": "2001:db8::/64"}
        assert self.found(network(egress=translated, firewall={"ingress": [{}]})) == []


def test_the_repair_of_a_flushed_table_is_one_line() -> None:
    assert repaired_table(("add a",)).endswith("repaired by add a")
    assert repaired_table(("add a", "b", "c")).endswith("repaired by 3 changes, first: add a")
