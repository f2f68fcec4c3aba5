"""The chains that accept or drop packets; `render` describes them. Pure."""

from collections.abc import Iterator

from dockerv6.firewall.elements import (
    ALLOWED,
    EGRESS_ANY,
    EGRESS_VIA,
    EXTERNAL,
    EXTERNAL_HOST,
    GUEST_BRIDGES,
    INGRESS_ANY,
    INGRESS_PORT,
    INTERNAL,
    LINK_SOURCES,
    NETWORKS,
    NO_ICC,
    OPEN,
    OWN_BRIDGE,
    PUBLISHED,
    RESTRICTED,
    TRANSLATED,
    UPLINK_BRIDGES,
    VALID_SOURCES,
    VALIDATED,
)
from dockerv6.firewall.expr import Chain, ClearMark, Field, HasMark, In, Is, Jump, Rule, SetMark, Term, Verdict
from dockerv6.firewall.model import FirewallIntent

_BEFORE_TRACKING = -300
"""NF_IP6_PRI_RAW: a forged packet must not change the state of the flow whose addresses it has."""

_GUARD = -150
"""NF_IP6_PRI_MANGLE of linux/netfilter_ipv6.h: flows are tracked, nothing is translated yet."""

_FILTER_JUST_BEFORE = -1
"""`filter - 1`; NF_IP6_PRI_FILTER is 0."""

_AFTER_FILTERS = 100
"""In the forward hook: firewalld filters at 10, security tables at 50."""

ERRORS = frozenset({"destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem"})
"""ICMPv6 errors that must not be dropped: path MTU discovery needs packet-too-big (RFC 4890, 4.3.1)."""

NEIGHBOUR_DISCOVERY = frozenset(
    {"nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert", "nd-redirect"}
)
"""RFC 4861: without it, a container finds neither its gateway nor a duplicate of its address."""

_FROM, _TO = (Field.SADDR, Field.IIF), (Field.DADDR, Field.OIF)
_OUT = (Field.SADDR, Field.OIF)
_PORT = (Field.PROTOCOL, Field.DPORT)
_PORT_AT = (*_PORT, Field.DADDR)
_TARGET = (Field.DADDR, *_PORT)
_LOCAL = Is(Field.DADDR_TYPE, frozenset({"local"}))
_TRANSLATED = Is(Field.CT_STATUS, frozenset({"dnat"}))
_REPLY = Is(Field.CT_DIRECTION, frozenset({"reply"}))
_ORIGINAL_DIRECTION = Is(Field.CT_DIRECTION, frozenset({"original"}))
_ESTABLISHED = Is(Field.CT_STATE, frozenset({"established", "related"}))
_ORIGINAL_DESTINATION = (Field.CT_ORIGINAL_DADDR,)
_NOT_TO_EXTERNAL = (In(_ORIGINAL_DESTINATION, EXTERNAL, negate=True), In(_ORIGINAL_DESTINATION, EXTERNAL_HOST))
"""Alternatives: the flow was not sent to an external prefix, or it was sent to an address in it that the host has."""


def filter_chains(intent: FirewallIntent) -> Iterator[Chain]:
    """All filter chains. Their rules depend on the mark, and on whether rules can match on a link's kind."""
    mark = SetMark(intent.mark)
    # never "is no bridge": a link without a kind, such as a physical one, fulfils no condition on the kind at all
    if intent.guest_bridges is None:
        from_bridge: Term = Is(Field.IIF_KIND, frozenset({"bridge"}))
        to_bridge: Term = Is(Field.OIF_KIND, frozenset({"bridge"}))
    else:
        from_bridge = In((Field.IIF,), GUEST_BRIDGES)
        to_bridge = In((Field.OIF,), GUEST_BRIDGES)
    yield _forward(mark)
    yield _forward_done(intent.mark)
    yield _guard()
    yield _inbound(mark, from_bridge)
    yield _inbound_bridge(mark)
    yield _inbound_outside(mark)
    yield _outbound(intent.mark, to_bridge)
    yield _source_validation()
    yield _to_host()
    yield _within(mark)


def _forward(mark: SetMark) -> Chain:
    return Chain(
        "forward",
        (
            Rule(
                (Is(Field.FAMILY, frozenset({"ipv6"}), negate=True), Verdict.ACCEPT),
                "dockerv6: IPv4 is left to the engine",
            ),
            Rule((In((Field.IIF, Field.OIF), OWN_BRIDGE), Jump("within")), "dockerv6: a bridge to itself"),
            Rule((In((Field.IIF,), INTERNAL), Verdict.DROP), "dockerv6: nothing leaves an internal network"),
            Rule((In((Field.OIF,), INTERNAL), Verdict.DROP), "dockerv6: nothing enters an internal network"),
            Rule((In(_FROM, NETWORKS), Jump("outbound")), "dockerv6: out of a managed network, from its own bridge"),
            Rule(
                (_REPLY, _ESTABLISHED, In(_TO, NETWORKS), mark),
                "dockerv6: replies to connections of containers; the filter of the host accepts the mark",
            ),
            Rule(
                (_REPLY, _ESTABLISHED, In(_FROM, NETWORKS), mark),
                "dockerv6: replies of containers to accepted connections",
            ),
            Rule((In(_TO, NETWORKS), Jump("inbound")), "dockerv6: into a managed network, through its own bridge"),
        ),
        type="filter",
        hook="forward",
        priority=_FILTER_JUST_BEFORE,
        policy="accept",
    )


def _forward_done(bit: int) -> Chain:
    return Chain(
        "forward_done",
        (Rule((HasMark(bit), ClearMark(bit)), "dockerv6: clear the mark behind all filters"),),
        type="filter",
        hook="forward",
        priority=_AFTER_FILTERS,
        policy="accept",
    )


def _guard() -> Chain:
    return Chain(
        "guard",
        (
            Rule(
                (
                    _LOCAL,
                    _ORIGINAL_DIRECTION,
                    In(_PORT_AT, RESTRICTED),
                    In((*_PORT_AT, Field.SADDR), ALLOWED, negate=True),
                    Verdict.DROP,
                ),
                "dockerv6: publish.ports from: other clients may not connect",
            ),
        ),
        type="filter",
        hook="prerouting",
        priority=_GUARD,
        policy="accept",
    )


def _source_validation() -> Chain:
    return Chain(
        "source_validation",
        (
            Rule(
                (
                    In((Field.IIF,), VALIDATED),
                    In((Field.SADDR,), LINK_SOURCES, negate=True),
                    In((Field.IIF, Field.SADDR), VALID_SOURCES, negate=True),
                    Verdict.DROP,
                ),
                "dockerv6: firewall.sourceValidation: a source of another network, or of nobody",
            ),
        ),
        type="filter",
        hook="prerouting",
        priority=_BEFORE_TRACKING,
        policy="accept",
    )


def _inbound(mark: SetMark, from_bridge: Term) -> Chain:
    return Chain(
        "inbound",
        (
            *(
                Rule((_TRANSLATED, here, In(_TARGET, PUBLISHED), mark, Verdict.ACCEPT), "dockerv6: published ports")
                for here in _NOT_TO_EXTERNAL
            ),
            Rule((Is(Field.ICMP_TYPE, ERRORS), mark, Verdict.ACCEPT), "dockerv6: ICMPv6 errors, RFC 4890 4.3.1"),
            *(
                Rule((_TRANSLATED, here, Verdict.ACCEPT), "dockerv6: translated by other rules, which decide")
                for here in _NOT_TO_EXTERNAL
            ),
            Rule(
                (In((Field.IIF,), UPLINK_BRIDGES), Jump("inbound_outside")),
                "dockerv6: from outside, through an uplink bridge",
            ),
            Rule((from_bridge, Jump("inbound_bridge")), "dockerv6: from other bridges"),
            Rule((Jump("inbound_outside"),), "dockerv6: from outside"),
            Rule((Verdict.DROP,), "dockerv6: everything else"),
        ),
    )


def _inbound_bridge(mark: SetMark) -> Chain:
    return Chain(
        "inbound_bridge",
        (
            Rule(
                (In((Field.OIF,), OPEN), mark, Verdict.ACCEPT), "dockerv6: firewall.isolation false, from other bridges"
            ),
            *_end_of_inbound("dockerv6: everything else from other bridges"),
        ),
    )


def _inbound_outside(mark: SetMark) -> Chain:
    return Chain(
        "inbound_outside",
        (
            Rule(
                (Is(Field.ICMP_TYPE, frozenset({"echo-request"})), mark, Verdict.ACCEPT),
                "dockerv6: echo requests, RFC 4890 4.3.1",
            ),
            Rule((In((Field.DADDR, Field.SADDR), INGRESS_ANY), mark, Verdict.ACCEPT), "dockerv6: firewall.ingress"),
            Rule(
                (In((Field.DADDR, Field.SADDR, *_PORT), INGRESS_PORT), mark, Verdict.ACCEPT),
                "dockerv6: firewall.ingress, single ports",
            ),
            *_end_of_inbound("dockerv6: everything else from outside"),
        ),
    )


def _end_of_inbound(comment: str) -> tuple[Rule, ...]:
    """The end of a chain: each packet of an accepted flow needs the mark, so established flows come last."""
    return (
        Rule((_ESTABLISHED, Verdict.ACCEPT), "dockerv6: established flows: other rules decide"),
        Rule((Verdict.DROP,), comment),
    )


def _outbound(bit: int, to_bridge: Term) -> Chain:
    anywhere, mark = In((Field.SADDR,), EGRESS_ANY), SetMark(bit)
    return Chain(
        "outbound",
        (
            Rule((anywhere, mark), "dockerv6: to outside"),
            Rule((to_bridge, HasMark(bit), ClearMark(bit)), "dockerv6: not through a bridge"),
            Rule(
                (anywhere, In((Field.OIF,), UPLINK_BRIDGES), mark),
                "dockerv6: to outside, through an uplink bridge",
            ),
            Rule((In(_OUT, EGRESS_VIA), mark), "dockerv6: through an egress interface of the network"),
        ),
    )


def _within(mark: SetMark) -> Chain:
    here = In((Field.IIF, Field.OIF), NO_ICC)
    return Chain(
        "within",
        (
            *(
                Rule((_TRANSLATED, here, mark, Verdict.ACCEPT), "dockerv6: through a published port")
                for here in _NOT_TO_EXTERNAL
            ),
            Rule(
                (here, Is(Field.ICMP_TYPE, NEIGHBOUR_DISCOVERY), mark, Verdict.ACCEPT),
                "dockerv6: neighbour discovery, RFC 4861",
            ),
            Rule((here, Verdict.DROP), "dockerv6: icc false"),
            Rule((mark, Verdict.ACCEPT), "dockerv6: containers of one network"),
        ),
    )


def _to_host() -> Chain:
    return Chain(
        "to_host",
        (
            Rule(
                (
                    _ORIGINAL_DIRECTION,
                    _TRANSLATED,
                    In((Field.DADDR,), TRANSLATED),
                    In(_ORIGINAL_DESTINATION, EXTERNAL),
                    Verdict.DROP,
                ),
                "dockerv6: the address of the bridge is not reachable from outside",
            ),
        ),
        type="filter",
        hook="input",
        priority=_FILTER_JUST_BEFORE,
        policy="accept",
    )
