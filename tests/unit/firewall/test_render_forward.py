"""Which packets the forward chain drops, marks, or leaves to others."""

from dataclasses import replace

import pytest

from dockerv6.firewall.expr import Verdict
from dockerv6.firewall.filter_chains import ERRORS, NEIGHBOUR_DISCOVERY
from dockerv6.firewall.model import DEFAULT_MARK, Ingress
from tests.unit.firewall.intents import (
    BLOG,
    GUARDED,
    OPEN,
    PLAIN,
    SHOP,
    VAULT,
)
from tests.unit.firewall.packets import Fate, Packet, through
from tests.unit.firewall.scenes import (
    ACROSS,
    ALL,
    IN,
    OUT,
    REPLY,
    TRANSLATED,
    WITHIN,
    forwarded,
    of,
)


@pytest.mark.parametrize(
    ("packet", "fate"),
    [
        (OUT, "marked"),
        (OUT.having(ct_state="established"), "marked"),
        (OUT.having(oif="br0", oif_kind="bridge"), "marked"),
        (OUT.having(oif="virbr0", oif_kind="bridge"), "left"),
        (OUT.having(saddr="fd12:3456:789a:2::2", iif="br-shop", oif="wg0"), "marked"),
        (OUT.having(saddr="fd12:3456:789a:2::2", iif="br-shop", oif="wg1"), "left"),
        (OUT.having(saddr="fd12:3456:789a:4::2", iif="br-plain"), "left"),
        (OUT.having(saddr="2001:db8:5:6::2", iif="br-road"), "marked"),
        (OUT.having(saddr="fd12:3456:789a:7::2", iif="br-fixed"), "marked"),
        (OUT.having(saddr="fd12:3456:789a:8::2", iif="br-home"), "marked"),
        (OUT.having(iif="br-shop"), "left"),
        (OUT.having(saddr="fd99::9"), "left"),
        (OUT.having(family="ipv4", saddr="", daddr="", iif="br-vault"), "left"),
    ],
)
def test_packets_that_may_leave_are_marked(packet: Packet, fate: str) -> None:
    assert forwarded(packet) == fate


@pytest.mark.parametrize("oif", ["br-shop", "virbr0"])
def test_bridges_can_be_named_instead_of_matched_by_kind(oif: str) -> None:
    ruleset = of(BLOG, SHOP, guests=("br-blog", "br-shop", "virbr0"))
    assert forwarded(OUT.having(oif_kind=""), ruleset) == "marked"
    assert forwarded(OUT.having(oif=oif, oif_kind=""), ruleset) in {"left", "drop"}
    assert forwarded(OUT.having(oif="br0", oif_kind=""), ruleset) == "marked"


@pytest.mark.parametrize("iif", ["br-vault", "eth0", "br-blog"])
def test_nothing_enters_or_leaves_an_internal_network(iif: str) -> None:
    packet = IN.having(iif=iif, oif="br-vault", daddr="fd12:3456:789a:3::2", saddr="fd12:3456:789a:3::3")
    expected = "marked" if iif == "br-vault" else "drop"
    assert forwarded(packet) == forwarded(packet.having(ct_state="established")) == expected
    assert forwarded(packet.having(iif="br-vault", oif="eth0", oif_kind="")) == "drop"


@pytest.mark.parametrize("source", [IN, ACROSS, ACROSS.having(iif="br-db", saddr="fd99::9")])
@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ({}, "drop"),
        ({"ct_state": "established"}, "left"),
        ({"ct_state": "established", "ct_direction": "reply"}, "marked"),
        (TRANSLATED, "marked"),
        ({"ct_state": "established", **TRANSLATED}, "marked"),
        ({"dport": "81", **TRANSLATED}, "left"),
        ({"daddr": "fd12:3456:789a:1::9", **TRANSLATED}, "left"),
    ],
)
def test_published_ports_and_replies_come_in(source: Packet, fields: dict[str, str], fate: str) -> None:
    assert forwarded(source.having(**fields)) == fate


@pytest.mark.parametrize("source", [IN, ACROSS])
@pytest.mark.parametrize("kind", sorted(ERRORS))
@pytest.mark.parametrize("fields", [{}, TRANSLATED, {"ct_state": "related"}, REPLY])
def test_errors_always_come_in(source: Packet, kind: str, fields: dict[str, str]) -> None:
    assert forwarded(source.having(protocol="ipv6-icmp", dport="", icmp_type=kind, **fields)) == "marked"


@pytest.mark.parametrize("state", ["new", "established"])
def test_echo_comes_in_from_outside_alone(state: str) -> None:
    echo = {"protocol": "ipv6-icmp", "dport": "", "icmp_type": "echo-request", "ct_state": state}
    assert forwarded(IN.having(**echo)) == forwarded(IN.having(iif="br0", iif_kind="bridge", **echo)) == "marked"
    assert forwarded(ACROSS.having(**echo)) == ("drop" if state == "new" else "left")


@pytest.mark.parametrize("state", ["new", "established"])
def test_without_isolation_other_networks_come_in_and_outsiders_do_not(state: str) -> None:
    there = {"oif": "br-open", "daddr": "fd12:3456:789a:5::2", "ct_state": state}
    assert forwarded(ACROSS.having(**there)) == "marked"
    for iif, kind in (("eth0", ""), ("br0", "bridge")):
        assert forwarded(IN.having(iif=iif, iif_kind=kind, **there)) == ("drop" if state == "new" else "left")


@pytest.mark.parametrize("state", ["new", "established"])
@pytest.mark.parametrize(
    ("fields", "let_in"),
    [
        ({"saddr": "2001:db8:1::5"}, True),
        ({"saddr": "2001:db8:2::5"}, False),
        ({"daddr": "fd12:3456:789a:5::8"}, True),
        ({"daddr": "fd12:3456:789a:5::8", "dport": "9", "protocol": "sctp"}, True),
        ({"daddr": "fd12:3456:789a:5::8", "dport": "9"}, False),
        ({"daddr": "fd12:3456:789a:5::8", "iif": "br0", "iif_kind": "bridge"}, True),
    ],
)
def test_ingress_accepts_every_packet_from_outside(state: str, fields: dict[str, str], *, let_in: bool) -> None:
    packet = IN.having(oif="br-open", daddr="fd12:3456:789a:5::2", ct_state=state).having(**fields)
    assert (forwarded(packet) == "marked") is let_in


def test_ingress_is_not_for_other_networks() -> None:
    ruleset = of(replace(BLOG, ingress=(Ingress(),)), SHOP)
    assert forwarded(IN, ruleset) == "marked"
    assert forwarded(ACROSS, ruleset) == "drop"


def test_containers_of_one_network_talk_to_one_another() -> None:
    assert forwarded(WITHIN) == "marked"
    assert forwarded(IN.having(iif="br-plain", oif="br-plain")) == "marked"


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ({}, "drop"),
        ({"ct_state": "established"}, "drop"),
        (TRANSLATED, "marked"),
        *(({"icmp_type": kind}, "marked") for kind in sorted(NEIGHBOUR_DISCOVERY)),
        ({"icmp_type": "echo-request"}, "drop"),
    ],
)
def test_without_icc_only_neighbour_discovery_and_published_ports_pass(fields: dict[str, str], fate: str) -> None:
    assert forwarded(WITHIN.having(iif="br-open", oif="br-open", **fields)) == fate


def test_only_our_bit_is_cleared_after_the_filters() -> None:
    fate = through(ALL, "forward_done", Packet(mark=DEFAULT_MARK | 5))
    assert fate == Fate(Verdict.ACCEPT, Packet(mark=5))


def test_ports_of_other_networks_change_nothing() -> None:
    assert forwarded(ACROSS, of(OPEN, PLAIN, VAULT, ports=(GUARDED,))) == "left"
