from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.firewall.elements import ALLOWED, PUBLISHED_TO, RESTRICTED
from dockerv6.firewall.expr import Field, HasMark, SetMark, Verdict
from dockerv6.firewall.model import NetworkIntent
from dockerv6.firewall.overlaps import resolve_overlaps
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.lib.networking import InterfaceName
from tests.unit.firewall.intents import (
    BLOG,
    DNS,
    EVERYTHING,
    FIXED,
    HOME,
    LOCAL,
    OPEN,
    PLAIN,
    PORTS,
    ROAD,
    SHOP,
    WEB,
    intent,
)
from tests.unit.firewall.packets import Fate, Packet, through
from tests.unit.firewall.scenes import (
    ACROSS,
    ALL,
    HOST,
    IN,
    OUT,
    TRANSLATED,
    WITHIN,
    forwarded,
    of,
)

# ---- the whole ----


def test_an_empty_intent_needs_no_table() -> None:
    assert render(intent()) == EMPTY
    assert render(intent(ports=PORTS)) == EMPTY


def test_kept_elements_keep_their_chains() -> None:
    assert render(intent(keep=frozenset({"blog"}))).chains == render(intent(BLOG)).chains


def test_of_overlapping_networks_only_the_first_gets_elements_and_ports() -> None:
    wide = replace(SHOP, subnet=IPv6Network("fd12:3456:789a::/48"))
    asked = intent(wide, BLOG, ports=(WEB, replace(DNS, owner="shop")))
    assert render(asked).owners == {"blog"}
    assert resolve_overlaps(asked.networks).lost == {"shop": "blog"}
    assert resolve_overlaps((BLOG, SHOP)).lost == {}


def test_of_overlapping_external_prefixes_only_the_first_gets_rules() -> None:
    later = replace(HOME, owner="later", subnet=IPv6Network("fd12:3456:789a:a::/64"), bridge=InterfaceName("br-later"))
    asked = intent(later, HOME)
    assert {rule.owner for rule in render(asked).owned} == {"home"}
    separated = resolve_overlaps(asked.networks)
    assert (separated.external_lost, separated.lost) == ({"later": "home"}, {})
    left_out = OUT.having(saddr="fd12:3456:789a:a::2", iif="br-later")
    assert forwarded(left_out, render(asked)) == "left"
    assert through(render(asked), "postrouting", left_out) == Fate(Verdict.ACCEPT, left_out)


def test_an_owner_of_several_networks_keeps_the_ports_of_those_that_are_kept() -> None:
    inside_blog = replace(OPEN, subnet=IPv6Network("fd12:3456:789a:1::/80"))
    policy = [replace(each, owner="policy/all") for each in (SHOP, inside_blog)]
    ports = tuple(replace(WEB, owner="policy/all", target=each.subnet[2], port=n) for n, each in enumerate(policy, 81))
    found = render(intent(BLOG, *policy, ports=ports)).set(PUBLISHED_TO)
    assert found is not None
    assert {str(element) for element in found.elements} == {"tcp . 81 : fd12:3456:789a:2::2/128"}


@pytest.mark.parametrize("mode", [BLOG, ROAD, FIXED])
def test_the_rules_are_the_same_for_one_network_and_for_many(mode: NetworkIntent) -> None:
    many = [
        replace(mode, owner=f"n{n}", subnet=IPv6Network(f"fd00:0:0:{n:x}::/64"), bridge=InterfaceName(f"br{n}"))
        for n in range(300)
    ]
    assert render(intent(*many, ports=PORTS)).chains == render(intent(BLOG)).chains


def test_the_order_of_networks_and_ports_does_not_matter() -> None:
    backwards = replace(EVERYTHING, networks=EVERYTHING.networks[::-1], ports=EVERYTHING.ports[::-1])
    assert render(backwards) == ALL


def test_the_mark_is_that_of_the_intent() -> None:
    rendered = render(replace(intent(BLOG), mark=0x40))
    terms = [term for chain in rendered.chains for rule in chain.rules for term in rule.terms]
    assert {term.bits for term in terms if isinstance(term, SetMark | HasMark)} == {0x40}


def test_every_rule_has_a_comment_or_an_owner_and_no_policy_drops() -> None:
    for chain in ALL.chains:
        assert chain.policy in {"", "accept"}
        assert all(rule.comment.startswith("dockerv6: ") and len(rule.comment) <= 128 for rule in chain.shared)
        assert not any(set(rule.comment) & set("'\"\\") for rule in chain.shared)  # listings escape them
        assert all(not rule.comment for rule in chain.owned)
    assert {chain.name for chain in ALL.chains if chain.owned} == {"prefix_in", "prefix_out"}
    assert ALL.owners == {"blog", "shop", "vault", "plain", "open", "road", "fixed", "home", "policy/all"}


# ---- published ports ----


@pytest.mark.parametrize("chain", ["prerouting", "output"])
@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"dport": "8080"}, ("fd12:3456:789a:1::2/128", "80")),
        ({"dport": "8080", "protocol": "udp"}, None),
        ({"dport": "8080", "daddr_type": "unicast"}, None),
        ({"dport": "8080", "saddr": "fe80::5"}, None),
        ({"dport": "53", "protocol": "udp", "daddr": "2001:db8::53"}, ("fd12:3456:789a:1::2/128", "5353")),
        ({"dport": "53", "protocol": "udp"}, None),
        ({"dport": "9000", "daddr": "::1"}, ("fd12:3456:789a:1::2/128", "9000")),
        ({"dport": "9000"}, None),
        ({"dport": "5000", "protocol": "sctp"}, ("fd12:3456:789a:2::7/128", "5001")),
        ({"dport": "80"}, None),
    ],
)
def test_packets_to_the_host_are_translated_by_port_and_address(
    chain: str, fields: dict[str, str], target: tuple[str, str] | None
) -> None:
    packet = IN.having(daddr=HOST, daddr_type="local").having(**fields)
    assert through(ALL, chain, packet).target == target


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, Verdict.DROP),
        ({"saddr": "2001:db8:7:1::1"}, Verdict.ACCEPT),
        ({"saddr": "2001:db8::9"}, Verdict.ACCEPT),
        ({"dport": "23"}, Verdict.ACCEPT),
        ({"protocol": "udp"}, Verdict.ACCEPT),
        ({"ct_direction": "reply"}, Verdict.ACCEPT),
        ({"daddr_type": "unicast"}, Verdict.ACCEPT),
        ({"dport": "2222", "daddr": "2001:db8::53"}, Verdict.DROP),
        ({"dport": "2222"}, Verdict.ACCEPT),
    ],
)
def test_a_port_with_an_allow_list_is_closed_to_other_clients(fields: dict[str, str], verdict: Verdict) -> None:
    packet = IN.having(daddr=HOST, daddr_type="local", dport="22").having(**fields)
    assert through(ALL, "guard", packet).verdict is verdict


def test_a_port_without_an_allow_list_is_open_to_all_clients() -> None:
    rendered = render(intent(BLOG, ports=(WEB, DNS, LOCAL)))
    assert [each.elements for each in rendered.sets if each.name in {RESTRICTED, ALLOWED}] == [frozenset()] * 2


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"dport": "8080"}, "fd12:3456:789a:1::1"),
        ({"dport": "9000"}, "fd12:3456:789a:1::1"),
        ({"dport": "80"}, "::1"),
        ({"dport": "8080", "daddr": HOST, "saddr": HOST}, HOST),
        ({"dport": "8080", "oif": "eth0"}, "::1"),
        ({"dport": "5000", "protocol": "sctp"}, "::1"),
    ],
)
def test_connections_to_the_loopback_address_come_from_the_bridge(fields: dict[str, str], source: str) -> None:
    packet = OUT.having(saddr="::1", daddr="::1", oif="lo").having(**fields)
    assert through(ALL, "loopback", packet).packet.fields[Field.SADDR] == source


@pytest.mark.parametrize(
    ("fields", "target"),
    [({}, "::1"), ({"iif": "lo"}, "fd::1"), ({"saddr": HOST}, "fd::1"), ({"ct_status": "seen-reply"}, "fd::1")],
)
def test_replies_go_back_to_the_loopback_address(fields: dict[str, str], target: str) -> None:
    packet = IN.having(saddr="::1", daddr="fd::1", iif="br-blog", **TRANSLATED).having(**fields)
    assert through(ALL, "loopback_back", packet).packet.fields[Field.DADDR] == target


# ---- external prefixes ----


@pytest.mark.parametrize("chain", ["prerouting", "output"])
@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"daddr": "2001:db8:8:8::2"}, ("fd12:3456:789a:8::2/128", "")),
        ({"daddr": "2001:db8:8:7:1:2:3:4"}, ("fd12:3456:789a:8:1:2:3:4/128", "")),
        ({"daddr": "2001:db8:8:7::2", "dport": "8080"}, ("fd12:3456:789a:8::2/128", "")),
        ({"daddr": "2001:db8:8:9::2"}, None),
        ({"daddr": "2001:db8:8:8::53", "daddr_type": "local"}, None),
        ({"daddr": "2001:db8:8:8::53", "daddr_type": "local", "dport": "8080"}, ("fd12:3456:789a:1::2/128", "80")),
    ],
)
def test_the_subnet_replaces_an_external_prefix(
    chain: str, fields: dict[str, str], target: tuple[str, str] | None
) -> None:
    assert through(ALL, chain, IN.having(daddr_type="unicast").having(**fields)).target == target


AT_HOME = {"daddr": "fd12:3456:789a:8::2", "oif": "br-home"}
BY_OUTER = {**AT_HOME, "ct_original_daddr": "2001:db8:8:8::2", **TRANSLATED}


@pytest.mark.parametrize("state", ["new", "established"])
@pytest.mark.parametrize("called", [AT_HOME, BY_OUTER, {**BY_OUTER, "ct_original_daddr": "2001:db8:8:7::2"}])
@pytest.mark.parametrize("dport", ["443", "80"])
def test_an_external_address_is_as_open_as_the_containers_own(called: dict[str, str], state: str, dport: str) -> None:
    closed = "drop" if state == "new" else "left"
    fields = {**called, "ct_state": state, "dport": dport}
    assert forwarded(IN.having(**fields)) == ("marked" if dport == "443" else closed)
    assert forwarded(ACROSS.having(**fields)) == closed


def test_a_published_port_is_not_open_at_the_external_address() -> None:
    ruleset = of(HOME, ports=(replace(WEB, owner="home", target=HOME.subnet[2]),))
    assert forwarded(IN.having(**BY_OUTER), ruleset) == "drop"
    assert forwarded(IN.having(**{**BY_OUTER, "ct_original_daddr": HOST}), ruleset) == "marked"


def test_a_port_at_an_address_of_the_host_in_an_external_prefix_is_open() -> None:
    asked = intent(HOME, ports=(replace(WEB, owner="home", target=HOME.subnet[2]),))
    own = HOME.external_prefixes[0][0x53]
    sent = {**BY_OUTER, "ct_original_daddr": str(own)}
    named = render(replace(asked, host_addresses=(own,)))
    assert forwarded(IN.having(**sent), render(asked)) == "drop"
    assert forwarded(IN.having(**sent), named) == "marked"
    assert forwarded(IN.having(**{**sent, "dport": "81"}), named) == "left", "others' ports"
    assert forwarded(IN.having(**BY_OUTER), named) == "drop"


@pytest.mark.parametrize("by", [{}, TRANSLATED])
def test_without_icc_an_external_address_leads_no_further(by: dict[str, str]) -> None:
    within = {"iif": "br-home", "iif_kind": "bridge", "saddr": "fd12:3456:789a:8::3", **AT_HOME, **by}
    sent = IN.having(**within, ct_original_daddr="2001:db8:8:8::2")
    assert forwarded(sent, of(replace(HOME, icc=False))) == "drop"
    assert forwarded(sent, of(HOME)) == "marked"


def test_connections_to_an_external_address_of_the_own_network_come_from_the_bridge() -> None:
    sent = OUT.having(saddr="fd12:3456:789a:8::3", daddr="fd12:3456:789a:8::2", oif="br-home", **TRANSLATED)
    assert through(ALL, "postrouting", sent).verdict is Verdict.MASQUERADE


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, Verdict.DROP),
        ({"ct_original_daddr": "2001:db8:8:7::1"}, Verdict.DROP),
        ({"ct_direction": "reply"}, Verdict.ACCEPT),
        ({"ct_status": ""}, Verdict.ACCEPT),
        ({"ct_original_daddr": HOST}, Verdict.ACCEPT),
        ({"daddr": HOST}, Verdict.ACCEPT),  # redirected by others from the host's address in an on-link prefix
    ],
)
def test_the_bridges_own_address_is_not_reachable_by_an_external_one(fields: dict[str, str], verdict: Verdict) -> None:
    packet = IN.having(**{**BY_OUTER, "daddr": "fd12:3456:789a:8::1", "ct_original_daddr": "2001:db8:8:8::1"})
    assert through(ALL, "to_host", packet.having(**fields)).verdict is verdict


def test_other_hosts_in_an_on_link_external_prefix_are_not_affected() -> None:
    ruleset = of(replace(HOME, external_addresses=(HOME.external_prefixes[0][2],)))
    sent = OUT.having(iif="br-home", saddr="fd12:3456:789a:8::3", daddr_type="unicast")
    named, other = sent.having(daddr="2001:db8:8:8::2"), sent.having(daddr="2001:db8:8:8::9")
    assert through(ruleset, "prerouting", named).target == ("fd12:3456:789a:8::2/128", "")
    assert through(ruleset, "prerouting", other).target is None
    assert through(ruleset, "postrouting", other).source == "2001:db8:8:8::3/128"


# ---- postrouting ----


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize(
    ("network", "verdict", "source"),
    [
        (ROAD, Verdict.KEEP_SOURCE, None),
        (FIXED, Verdict.ACCEPT, "2001:db8::7/128"),
        (HOME, Verdict.ACCEPT, "2001:db8:8:8::2/128"),
        (BLOG, Verdict.MASQUERADE, None),
        (PLAIN, Verdict.ACCEPT, None),
    ],
)
def test_the_egress_mode_decides_about_the_source(
    network: NetworkIntent, verdict: Verdict, source: str | None, *, pinned: bool
) -> None:
    excluding = replace(network, egress_exclude=(IPv6Network("2001:db8:e::/48"),))
    ruleset = of(replace(excluding, egress_interfaces=(InterfaceName("eth0"),)) if pinned else excluding)
    sent = OUT.having(saddr=str(network.subnet[2]), iif=network.bridge)
    assert through(ruleset, "postrouting", sent) == Fate(verdict, sent, source=source)
    if network is not PLAIN:
        excluded = sent.having(daddr="2001:db8:e::1")
        assert through(ruleset, "postrouting", excluded).verdict is Verdict.KEEP_SOURCE
        elsewhere = through(ruleset, "postrouting", sent.having(oif="wg0"))
        assert elsewhere.verdict is (Verdict.KEEP_SOURCE if pinned else verdict)


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        (OUT, Verdict.MASQUERADE),
        (OUT.having(saddr="fd12:3456:789a:4::2"), Verdict.ACCEPT),
        (OUT.having(saddr="fd12:3456:789a:2::2"), Verdict.MASQUERADE),
        (OUT.having(saddr="fd12:3456:789a:2::2", oif="wg1"), Verdict.KEEP_SOURCE),
        (OUT.having(saddr="fd12:3456:789a:2::2", daddr="2001:db8:aaaa::1"), Verdict.KEEP_SOURCE),
        (OUT.having(saddr="fd99::9"), Verdict.ACCEPT),
        (WITHIN, Verdict.ACCEPT),
        (WITHIN.having(**TRANSLATED), Verdict.MASQUERADE),
        (ACROSS.having(**TRANSLATED), Verdict.MASQUERADE),
        (IN.having(**TRANSLATED), Verdict.ACCEPT),
        (IN.having(dport="81", **TRANSLATED), Verdict.ACCEPT),
    ],
)
def test_sources_that_are_translated(packet: Packet, verdict: Verdict) -> None:
    assert through(ALL, "postrouting", packet).verdict is verdict
