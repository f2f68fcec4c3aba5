"""iptables-legacy and nftables give each packet the same verdict, for every ruleset that both support."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.firewall.expr import Field
from dockerv6.firewall.filter_chains import ERRORS, NEIGHBOUR_DISCOVERY
from dockerv6.firewall.iptables import compile as compiling
from dockerv6.firewall.iptables import matches
from dockerv6.firewall.iptables.compile import UNSUPPORTED_CHAINS, compile_ruleset
from dockerv6.firewall.iptables.readback import contents_of, ruleset_of
from dockerv6.firewall.render import render
from tests.property.strategies_firewall import intents, prefixes
from tests.unit.firewall.iptables import traversal
from tests.unit.firewall.packets import Packet, through

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockerv6.firewall.model import FirewallIntent

_ADDRESSES = prefixes().map(lambda prefix: str(prefix.network_address)) | st.sampled_from(
    ["2001:db8::1", "2001:db8::2", "fe80::1"]
)
_LINKS = st.sampled_from(["br-a", "br-b", "br-c", "br0", "br1", "eth0", "wg0"])
BUILTIN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_BRIDGES = ("br-a", "br-b", "br-c", "br0")


def _supported(intent: FirewallIntent) -> FirewallIntent:
    """An intent with its bridges named, and at most one port intent for each port, as planning gives them."""
    ports = {(port.protocol, port.port): port for port in intent.ports}
    bridges = intent.guest_bridges if intent.guest_bridges is not None else _BRIDGES
    return replace(intent, guest_bridges=bridges, ports=tuple(ports.values()))


named_intents = intents.map(_supported)


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    protocol = draw(st.sampled_from(["tcp", "udp", "sctp", "ipv6-icmp"]))
    fields = {
        Field.FAMILY: "ipv6",
        Field.SADDR: draw(_ADDRESSES),
        Field.DADDR: draw(_ADDRESSES),
        Field.IIF: draw(_LINKS),
        Field.OIF: draw(_LINKS),
        Field.CT_STATE: draw(st.sampled_from(["new", "established", "related"])),
        Field.CT_DIRECTION: draw(st.sampled_from(["original", "reply"])),
        Field.CT_STATUS: draw(st.sampled_from(["", "dnat"])),
        Field.CT_ORIGINAL_DADDR: draw(_ADDRESSES),
        Field.DADDR_TYPE: draw(st.sampled_from(["local", "unicast"])),
        Field.PROTOCOL: protocol,
    }
    if protocol == "ipv6-icmp":
        types = st.sampled_from(sorted(ERRORS | NEIGHBOUR_DISCOVERY | {"echo-request", "echo-reply"}))
        fields[Field.ICMP_TYPE] = draw(types)
    else:
        fields[Field.DPORT] = draw(st.sampled_from(["53", "80", "81", "8080"]))
    return Packet(fields, draw(st.sampled_from([0, 0x10000000, 5])))


@pytest.fixture(params=[(0, 0), (1, 0), (8, 2)], ids=["trees", "small trees", "default"], autouse=True, scope="module")
def _size(request: pytest.FixtureRequest) -> Iterator[None]:
    """Limits of tree sizes, so that few elements already make a tree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matches, "LEAF", request.param[0])
        patch.setattr(compiling, "LEAF", request.param[0])
        patch.setattr(matches, "FEW", request.param[1])
        yield


@given(named_intents, st.lists(packets(), min_size=1, max_size=8))
def test_both_backends_give_a_packet_the_same_verdict(intent: FirewallIntent, sent: list[Packet]) -> None:
    ruleset = render(intent)
    if not ruleset.exists:
        return
    tables = compile_ruleset(ruleset)
    for chain in ruleset.chains:
        if chain.hook and chain.name not in UNSUPPORTED_CHAINS:
            for packet in sent:
                assert traversal.through(tables, chain.name, packet) == through(ruleset, chain.name, packet)


@given(named_intents)
def test_a_compiled_ruleset_is_read_back(intent: FirewallIntent) -> None:
    ruleset = render(intent)
    written = contents_of(ruleset, 2)
    read_back = {
        name: {
            **part.chains,
            **{builtin: part.jumps.get(builtin, ()) for builtin in BUILTIN},
        }
        for name, part in written.items()
    }
    assert ruleset_of(read_back, lambda recorded: contents_of(recorded, 2)) == ruleset
