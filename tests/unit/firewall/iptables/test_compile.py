from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockerv6.firewall.expr import Chain, Element, Field, Is, Jump, Rule, SetField, UnknownExpr, Verdict
from dockerv6.firewall.iptables.compile import UNSUPPORTED_CHAINS, compile_ruleset, is_supported, origin, own_name
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.firewall.xtables.rule import PlainTarget, UnsupportedRuleError
from dockerv6.lib.networking import InterfaceName, TransportProtocol
from tests.unit.firewall.intents import BLOG, EVERYTHING
from tests.unit.firewall.iptables import traversal
from tests.unit.firewall.packets import Packet

GUESTS = ("br-blog", "br-open", "br-plain", "br-shop", "br-vault")
RULESET = render(replace(EVERYTHING, guest_bridges=GUESTS))


def large(networks: int, ports: int) -> Ruleset:
    made = tuple(
        NetworkIntent(f"net{n}", IPv6Network(f"fd00:0:0:{n:x}::/64"), InterfaceName(f"br-{n * 7919:012x}"))
        for n in range(networks)
    )
    published = tuple(
        PortIntent(
            f"net{n % networks}",
            TransportProtocol.TCP,
            8000 + n,
            IPv6Address(f"fd00:0:0:{n % networks:x}::{n:x}"),
            80,
            sources=(IPv6Network("2001:db8::/32"),),
        )
        for n in range(ports)
    )
    return render(FirewallIntent(made, ports=published, guest_bridges=tuple(each.bridge for each in made)))


def test_an_empty_ruleset_compiles_to_empty_tables() -> None:
    assert all(not table.chains and not table.jumps for table in compile_ruleset(EMPTY))


def test_each_base_chain_is_entered_by_one_commented_jump_in_the_order_of_priorities() -> None:
    jumps = [(table.name, builtin, whose) for table in compile_ruleset(RULESET) for builtin, _, whose in table.jumps]
    assert jumps == [
        ("mangle", "FORWARD", "forward"),
        ("mangle", "INPUT", "to_host"),
        ("mangle", "POSTROUTING", "forward_done"),
        ("mangle", "PREROUTING", "source_validation"),
        ("mangle", "PREROUTING", "guard"),
        ("nat", "OUTPUT", "output"),
        ("nat", "POSTROUTING", "postrouting"),
        ("nat", "PREROUTING", "prerouting"),
    ]
    assert all(rule.comment for table in compile_ruleset(RULESET) for _, rule, _ in table.jumps)


def test_only_the_chains_of_the_loopback_address_are_left_out() -> None:
    assert (
        {chain.name for chain in RULESET.chains if not is_supported(chain)}
        == UNSUPPORTED_CHAINS
        == {"loopback", "loopback_back"}
    )
    written = {chain.origin for table in compile_ruleset(RULESET) for chain in table.chains}
    assert written == {chain.name for chain in RULESET.chains} - UNSUPPORTED_CHAINS


def test_no_compiled_rule_accepts() -> None:
    targets = {rule.target for table in compile_ruleset(RULESET) for chain in table.chains for rule in chain.rules}
    assert "ACCEPT" not in {str(target) for target in targets}
    assert PlainTarget.RETURN in targets


def most_rules_passed(ruleset: Ruleset, networks: int, ports: int) -> dict[str, int]:
    """The most rules that one of many packets passes, by base chain: out, back, to a port, between networks."""
    tables = compile_ruleset(ruleset)
    most: dict[str, int] = {}
    for n in range(0, ports, max(1, ports // 40)):
        network = n % networks
        inside, bridge = f"fd00:0:0:{network:x}::{n:x}", f"br-{network * 7919:012x}"
        common = {"family": "ipv6", "protocol": "tcp", "daddr_type": "local", "ct_direction": "original"}
        outwards = Packet().having(**common, saddr=inside, daddr="2001:db8::1", iif=bridge, oif="eth0", dport="443")
        inwards = Packet().having(
            **common, saddr="2001:db8::1", daddr=inside, iif="eth0", oif=bridge, ct_status="dnat", dport="80"
        )
        across = inwards.having(saddr="fd00:0:0:1::1", iif="br-000000001eef", ct_status="")
        called = inwards.having(daddr="2001:db8::2", dport=str(8000 + n), ct_status="")
        for packet in (outwards, inwards, across, called, inwards.having(ct_state="established", ct_direction="reply")):
            for chain in ("forward", "guard", "prerouting", "output", "postrouting"):
                most[chain] = max(most.get(chain, 0), traversal.rules_passed(tables, chain, packet))
    return most


def test_a_packet_passes_few_rules_with_hundreds_of_networks_and_a_thousand_ports() -> None:
    few, many = most_rules_passed(large(1, 1), 1, 1), most_rules_passed(large(400, 1000), 400, 1000)
    assert all(many[chain] <= few[chain] + 160 for chain in few), (few, many)


def test_chain_names_fit_and_give_their_origin() -> None:
    for table in compile_ruleset(large(100, 200)):
        for chain in table.chains:
            assert len(chain.name) <= 28
            assert origin(chain.name, RULESET.chains) == chain.origin
    assert origin("DOCKERV6-SOMETHING", RULESET.chains) == ""
    assert own_name("inbound_outside") == "DOCKERV6-INBOUND_OUTSIDE"


def test_another_network_changes_few_chains() -> None:
    before, after = (
        {(table.name, chain.name): chain.rules for table in compile_ruleset(large(size, 0)) for chain in table.chains}
        for size in (200, 201)
    )
    touched = [name for name, rules in after.items() if before.get(name) != rules]
    assert len(touched) <= len(after) / 4


OVERLAP = replace(
    RULESET,
    sets=tuple(
        replace(each, elements=each.elements | {Element(("fd12:3456:789a:1::/80", "br-blog"), "x")})
        if each.name == "networks"
        else each
        for each in RULESET.sets
    ),
)
ODD = {
    "elements that overlap": OVERLAP,
    "link kinds": render(EVERYTHING),
    "a hook without a built-in chain": replace(
        RULESET, chains=(*RULESET.chains, Chain("x", type="filter", hook="input", priority=0))
    ),
    "a jump to a missing chain": replace(
        RULESET, chains=(Chain("forward", (Rule((Jump("x"),)),), "filter", "forward", -1),)
    ),
    "a chain that accepts and returns": replace(
        RULESET,
        chains=(
            Chain("forward", (Rule((Jump("x"),)),), "filter", "forward", -1),
            Chain("x", (Rule((Is(Field.CT_STATE, frozenset({"new"})), Verdict.ACCEPT)),)),
        ),
    ),
    "an unknown expression": replace(
        RULESET, chains=(Chain("forward", (Rule((UnknownExpr("x"),)),), "filter", "forward", -1),)
    ),
    "a rewritten header field": replace(
        RULESET, chains=(Chain("forward", (Rule((SetField(Field.DADDR, "::1"),)),), "filter", "forward", -1),)
    ),
    "a missing set": replace(RULESET, sets=()),
}


@pytest.mark.parametrize("name", ODD)
def test_a_ruleset_that_xtables_cannot_express_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedRuleError):
        compile_ruleset(ODD[name])


def test_a_network_without_ports_has_no_dnat_rule() -> None:
    nat = compile_ruleset(render(FirewallIntent((BLOG,), guest_bridges=("br-blog",))))[1]
    assert "DNAT" not in "\n".join(nat.lines()).replace("--ctstate DNAT", "")
