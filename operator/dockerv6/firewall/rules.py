"""From intent to ruleset. Pure; the only place that says what our table holds.

Sets and maps are looked up, never walked through: a packet costs the same with one network and one port as with
hundreds of networks and thousands of ports. What belongs to a network is keyed by its subnet or its bridge first, so a
network is only ever touched by its own elements.

**prerouting, output** (nat, `dstnat - 1`: just before the engine's). A published port is two map elements, (protocol,
port) to address and to port; one that is bound to a single address has that in the key too. Only what is sent to one
of the host's own addresses is looked up. The container sees who calls from outside: nothing is done to the source. A
link-local one can't be routed any further: it is left to whoever listens on the host (RFC 4291, 2.5.6).

**guard** (filter, prerouting, `mangle`: before any translation). A port with an allow-list is closed to everybody else,
whoever listens there: our translation, the engine's, its userland proxy, or a process of the host. Only packets in a
flow's original direction are judged, since the host itself may call out from that very port.

**loopback, loopback_back**. Who calls [::1] has ::1 as its source, which must not leave the host, and an answer that
were translated back to ::1 would be taken for a martian before any socket saw it (ip6_rcv; a route to ::1 is only
found on lo). So the source is exchanged, before connection tracking looks, for the address of the target's bridge, and
an answer's destination is exchanged back behind it, in the input hook, when routing is done.

**postrouting** (nat, `srcnat - 1`). The first NAT decision wins, and *accept is none*: the engine's MASQUERADE in the
next chain would still translate what we merely accepted. So "not translated" is said as a decision, `snat to ip6
saddr`: the packet keeps its source and no later NAT chain is asked. Within a network's own bridge only what came
through a published port is translated (hairpin: the target would answer the caller directly, which it never called).
Between networks it is translated too, as on IPv4: engines from 28.2 on drop answers to containers' own addresses.
`masquerade` is plain, without `random` or `fully-random`: a source port that is free is kept, which peers behind
strict firewalls and UDP applications rely on, and which is what the engine itself does.

**forward** (filter, `filter - 1`: just before everybody's filter) drops what must not pass, and a drop is final. An
accept could not overrule a drop in another base chain, so flows that we allow get one bit of the mark (the other bits
are other people's), and one rule in the host's filter accepts that bit.

* within (a bridge to itself: hairpin, and what br_netfilter shows of bridged traffic): allowed; where containers must
  not talk to one another (icc false), only published ports and neighbour discovery are.
* internal networks: nothing out, nothing in.
* out: from a managed subnet, arriving on that network's own bridge (so a spoofed source gains nothing), leaving where
  it is let: through the network's egress interfaces if it names any, else through anything that is not a bridge, or
  is a bridge known to lead outside. Every other bridge has containers or virtual machines behind it, whether we manage
  it or not, whether it was there when the ruleset was written or came later: a mark would open what the engine's
  isolation or libvirt closes. Going by the link's kind is what makes that hold while the operator is stopped.
* replies: packets in the reply direction of an established flow, and ICMPv6 errors about it. The reply direction
  exists only where the flow's first packet was let through.
* inbound, to a managed subnet through its own bridge: published ports (translated, and to a published target); what
  others translated or established, unmarked; the ICMPv6 that must not be dropped (RFC 4890, 4.3.1: errors, and echo
  from outside); `firewall.ingress` from outside; other networks' containers where the network is not isolated. All
  else is dropped.

**forward_done** (filter, priority 100, behind every named one) clears the bit again: it is of no use to anybody after
the filters, and IPsec policies and traffic control look at marks too. Routing has been done by then, and the bit was
set after the routing decision, so no `ip rule` ever sees it.
"""

from collections.abc import Mapping

from dockerv6.firewall.elements import (
    ALLOWED,
    EGRESS_ANY,
    EGRESS_PINNED,
    EGRESS_VIA,
    EXCLUDED,
    GUEST_BRIDGES,
    INGRESS_ANY,
    INGRESS_PORT,
    INTERNAL,
    LOOPBACK,
    NETWORKS,
    NO_ICC,
    OPEN,
    OWN_BRIDGE,
    PUBLISHED,
    PUBLISHED_AT_PORT,
    PUBLISHED_AT_TO,
    PUBLISHED_PORT,
    PUBLISHED_TO,
    RESTRICTED,
    UPLINK_BRIDGES,
    element_sets,
    kept_apart,
)
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.priorities import (
    AFTER_FILTERS,
    BEFORE_TRACKING,
    DSTNAT_JUST_BEFORE,
    FILTER_JUST_BEFORE,
    GUARD,
    SRCNAT_JUST_AFTER,
    SRCNAT_JUST_BEFORE,
)
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.firewall.terms import (
    Chain,
    ClearMark,
    Dnat,
    Field,
    HasMark,
    In,
    Is,
    Jump,
    MapField,
    Rule,
    SetField,
    SetMark,
    Term,
    Verdict,
)

ERRORS = frozenset({"destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem"})
"""ICMPv6 that must not be dropped: without packet-too-big, path MTU discovery fails (RFC 4890, 4.3.1)."""

NEIGHBOUR_DISCOVERY = frozenset(
    {"nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert", "nd-redirect"}
)
"""RFC 4861: without it a container finds neither its gateway nor a duplicate of its address."""

_FROM, _TO = (Field.SADDR, Field.IIF), (Field.DADDR, Field.OIF)
_OUT = (Field.SADDR, Field.OIF)
_PORT = (Field.PROTOCOL, Field.DPORT)
_PORT_AT = (*_PORT, Field.DADDR)
_TARGET = (Field.DADDR, *_PORT)
_LOCAL = Is(Field.DADDR_TYPE, frozenset({"local"}))
_TRANSLATED = Is(Field.CT_STATUS, frozenset({"dnat"}))
_REPLY = Is(Field.CT_DIRECTION, frozenset({"reply"}))
_ORIGINAL = Is(Field.CT_DIRECTION, frozenset({"original"}))
_KNOWN = Is(Field.CT_STATE, frozenset({"established", "related"}))
_ROUTABLE = Is(Field.SADDR, frozenset({"fe80::/10"}), negate=True)
_ME = frozenset({"::1"})


def render(intent: FirewallIntent) -> Ruleset:
    """The ruleset that fulfils the intent; `EMPTY` when nothing in it concerns us and nobody's elements are held.

    Of networks whose subnets overlap, only the first by owner's name gets elements (see `overlapping_owners`).
    """
    networks, lost = kept_apart(intent.networks)
    if not networks and not intent.hold:
        return EMPTY
    # An owner may have several networks, of which only some are left out.
    ports = tuple(port for port in intent.ports if port.owner not in lost or _is_in(port, networks))
    return Ruleset(_chains(intent), element_sets(networks, ports, intent), exists=True)


def _is_in(port: PortIntent, networks: tuple[NetworkIntent, ...]) -> bool:
    return any(network.owner == port.owner and port.target in network.subnet for network in networks)


def overlapping_owners(intent: FirewallIntent) -> Mapping[str, str]:
    """Owners whose network is left out because its subnet overlaps another's, and that other owner."""
    return kept_apart(intent.networks)[1]


def _chains(intent: FirewallIntent) -> tuple[Chain, ...]:
    mark = SetMark(intent.mark)
    if intent.guest_bridges is None:
        from_outside: Term = Is(Field.IIF_KIND, frozenset({"bridge"}), negate=True)
        to_outside: Term = Is(Field.OIF_KIND, frozenset({"bridge"}), negate=True)
    else:
        from_outside = In((Field.IIF,), GUEST_BRIDGES, negate=True)
        to_outside = In((Field.OIF,), GUEST_BRIDGES, negate=True)
    chains = (
        _forward(mark),
        _forward_done(intent.mark),
        _guard(),
        _inbound(mark, from_outside),
        _inbound_outside(mark),
        *_loopback(),
        _outbound(mark, to_outside),
        *_published(),
        _postrouting(),
        _within(mark),
    )
    return tuple(sorted(chains, key=lambda chain: chain.name))


def _forward(mark: SetMark) -> Chain:
    return Chain(
        "forward",
        (
            Rule(
                (Is(Field.FAMILY, frozenset({"ipv6"}), negate=True), Verdict.ACCEPT), "dockerv6: IPv4 is the engine's"
            ),
            Rule((In((Field.IIF, Field.OIF), OWN_BRIDGE), Jump("within")), "dockerv6: a bridge to itself"),
            Rule((In((Field.IIF,), INTERNAL), Verdict.DROP), "dockerv6: nothing leaves an internal network"),
            Rule((In((Field.OIF,), INTERNAL), Verdict.DROP), "dockerv6: nothing enters an internal network"),
            Rule((In(_FROM, NETWORKS), Jump("outbound")), "dockerv6: out of a managed network, from its own bridge"),
            Rule(
                (_REPLY, _KNOWN, In(_TO, NETWORKS), mark),
                "dockerv6: replies to what containers began; the host's filter accepts this mark",
            ),
            Rule((_REPLY, _KNOWN, In(_FROM, NETWORKS), mark), "dockerv6: containers' replies to what was let in"),
            Rule((In(_TO, NETWORKS), Jump("inbound")), "dockerv6: into a managed network, by its own bridge"),
        ),
        type="filter",
        hook="forward",
        priority=FILTER_JUST_BEFORE,
        policy="accept",
    )


def _forward_done(bit: int) -> Chain:
    return Chain(
        "forward_done",
        (Rule((HasMark(bit), ClearMark(bit)), "dockerv6: the filters have seen the mark, nobody else needs it"),),
        type="filter",
        hook="forward",
        priority=AFTER_FILTERS,
        policy="accept",
    )


def _within(mark: SetMark) -> Chain:
    here = In((Field.IIF, Field.OIF), NO_ICC)
    return Chain(
        "within",
        (
            Rule((_TRANSLATED, mark, Verdict.ACCEPT), "dockerv6: through a published port"),
            Rule(
                (here, Is(Field.ICMP_TYPE, NEIGHBOUR_DISCOVERY), mark, Verdict.ACCEPT),
                "dockerv6: neighbour discovery, RFC 4861",
            ),
            Rule((here, Verdict.DROP), "dockerv6: icc false"),
            Rule((mark, Verdict.ACCEPT), "dockerv6: containers of one network"),
        ),
    )


def _inbound(mark: SetMark, from_outside: Term) -> Chain:
    return Chain(
        "inbound",
        (
            Rule((_TRANSLATED, In(_TARGET, PUBLISHED), mark, Verdict.ACCEPT), "dockerv6: published ports"),
            Rule((Is(Field.ICMP_TYPE, ERRORS), mark, Verdict.ACCEPT), "dockerv6: ICMPv6 errors, RFC 4890 4.3.1"),
            Rule((_TRANSLATED, Verdict.ACCEPT), "dockerv6: translated by others, who decide"),
            Rule((from_outside, Jump("inbound_outside")), "dockerv6: from outside"),
            Rule((In((Field.IIF,), UPLINK_BRIDGES), Jump("inbound_outside")), "dockerv6: from outside, by a bridge"),
            Rule(
                (In((Field.OIF,), OPEN), mark, Verdict.ACCEPT), "dockerv6: firewall.isolation false, from other bridges"
            ),
            *_closed("dockerv6: nothing else comes in"),
        ),
    )


def _inbound_outside(mark: SetMark) -> Chain:
    return Chain(
        "inbound_outside",
        (
            Rule((Is(Field.ICMP_TYPE, frozenset({"echo-request"})), mark, Verdict.ACCEPT), "dockerv6: RFC 4890 4.3.1"),
            Rule((In((Field.DADDR, Field.SADDR), INGRESS_ANY), mark, Verdict.ACCEPT), "dockerv6: firewall.ingress"),
            Rule(
                (In((Field.DADDR, Field.SADDR, *_PORT), INGRESS_PORT), mark, Verdict.ACCEPT),
                "dockerv6: firewall.ingress, single ports",
            ),
            *_closed("dockerv6: nothing else comes in from outside"),
        ),
    )


def _closed(comment: str) -> tuple[Rule, ...]:
    """Behind all that is let in: every packet of a flow needs the mark, not only its first."""
    return (
        Rule((_KNOWN, Verdict.ACCEPT), "dockerv6: established, others decide"),
        Rule((Verdict.DROP,), comment),
    )


def _outbound(mark: SetMark, to_outside: Term) -> Chain:
    anywhere = In((Field.SADDR,), EGRESS_ANY)
    return Chain(
        "outbound",
        (
            Rule((In(_OUT, EGRESS_VIA), mark), "dockerv6: through an egress interface of the network"),
            Rule((anywhere, to_outside, mark), "dockerv6: outside; bridges have containers or guests behind them"),
            Rule(
                (anywhere, In((Field.OIF,), UPLINK_BRIDGES), mark),
                "dockerv6: outside, by a bridge that leads there",
            ),
        ),
    )


def _published() -> tuple[Chain, ...]:
    rules = (
        Rule(
            (_LOCAL, _ROUTABLE, Dnat(_PORT_AT, PUBLISHED_AT_TO, PUBLISHED_AT_PORT)),
            "dockerv6: ports bound to one address",
        ),
        Rule(
            (_LOCAL, _ROUTABLE, Dnat(_PORT, PUBLISHED_TO, PUBLISHED_PORT)),
            "dockerv6: ports of all the host's addresses",
        ),
    )
    return tuple(
        Chain(hook, rules, type="nat", hook=hook, priority=DSTNAT_JUST_BEFORE, policy="accept")
        for hook in ("output", "prerouting")
    )


def _guard() -> Chain:
    return Chain(
        "guard",
        (
            Rule(
                (
                    _LOCAL,
                    _ORIGINAL,
                    In(_PORT_AT, RESTRICTED),
                    In((*_PORT_AT, Field.SADDR), ALLOWED, negate=True),
                    Verdict.DROP,
                ),
                "dockerv6: publish.ports from: others may not connect",
            ),
        ),
        type="filter",
        hook="prerouting",
        priority=GUARD,
        policy="accept",
    )


def _loopback() -> tuple[Chain, ...]:
    lo = frozenset({"lo"})
    return (
        Chain(
            "loopback",
            (
                Rule(
                    (
                        Is(Field.OIF, lo),
                        Is(Field.SADDR, _ME),
                        Is(Field.DADDR, _ME),
                        MapField(Field.SADDR, _PORT, LOOPBACK),
                    ),
                    "dockerv6: [::1] to a published port: ::1 can't leave the host",
                ),
            ),
            type="filter",
            hook="output",
            priority=BEFORE_TRACKING,
            policy="accept",
        ),
        Chain(
            "loopback_back",
            (
                Rule(
                    (
                        Is(Field.IIF, lo, negate=True),
                        Is(Field.SADDR, _ME),
                        _TRANSLATED,
                        SetField(Field.DADDR, "::1"),
                    ),
                    "dockerv6: its answers, back to ::1",
                ),
            ),
            type="filter",
            hook="input",
            priority=SRCNAT_JUST_AFTER,
            policy="accept",
        ),
    )


def _postrouting() -> Chain:
    return Chain(
        "postrouting",
        (
            Rule(
                (In(_OUT, NETWORKS), _TRANSLATED, Verdict.MASQUERADE),
                "dockerv6: hairpin: to a published port of the caller's own network",
            ),
            Rule((In(_OUT, NETWORKS), Verdict.ACCEPT), "dockerv6: within its own bridge"),
            *(
                Rule(
                    (_TRANSLATED, In(_TARGET, PUBLISHED), In((Field.SADDR,), network), Verdict.MASQUERADE),
                    "dockerv6: to a published port of another network, as on IPv4",
                )
                for network in (EGRESS_ANY, EGRESS_PINNED)
            ),
            Rule(
                (In((Field.SADDR, Field.DADDR), EXCLUDED), Verdict.KEEP_SOURCE),
                "dockerv6: egress.exclude, untranslated, by the engine too",
            ),
            Rule((In(_OUT, EGRESS_VIA), Verdict.MASQUERADE), "dockerv6: NAT66 out of egress.interfaces"),
            Rule((In((Field.SADDR,), EGRESS_ANY), Verdict.MASQUERADE), "dockerv6: NAT66 out of any interface"),
            Rule(
                (In((Field.SADDR,), EGRESS_PINNED), Verdict.KEEP_SOURCE),
                "dockerv6: elsewhere than egress.interfaces, untranslated",
            ),
        ),
        type="nat",
        hook="postrouting",
        priority=SRCNAT_JUST_BEFORE,
        policy="accept",
    )
