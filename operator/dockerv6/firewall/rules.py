"""From intent to ruleset. Pure; the only place that says what our table holds.

Every set is keyed by a network's subnet first, so a network is only ever touched by its own elements, and a packet
costs the same with one network as with a thousand.

**postrouting** (nat, `srcnat - 1`: just before the engine's). The first NAT decision wins, and *accept is none*: the
engine's MASQUERADE in the next chain would still translate what we merely accepted. So "not translated" is said as a
decision, `snat to ip6 saddr`: the packet keeps its source and no later NAT chain is asked. Only traffic within a
network's own bridge is left undecided, because the engine's hairpin rules for published ports have to see it.
`masquerade` is plain, without `random` or `fully-random`: a source port that is free is kept, which peers behind
strict firewalls and UDP applications rely on, and which is what the engine itself does.

**forward** (filter, `filter - 1`: just before everybody's filter). An accept here could not overrule a drop in another
base chain, so flows that we allow get one bit of the mark (the other bits are other people's), and one rule in the
host's filter accepts that bit. What is marked:

* out: from a managed subnet, arriving on that network's own bridge (so a spoofed source gains nothing), leaving where
  it is let: through the network's egress interfaces if it names any, else through anything that is not a bridge, or
  is a bridge known to lead outside. Every other bridge has containers or virtual machines behind it, whether we manage
  it or not, whether it was there when the ruleset was written or came later: a mark would open what the engine's
  isolation or libvirt closes. Going by the link's kind is what makes that hold while the operator is stopped.
* back: packets in the reply direction of an established flow, and ICMPv6 errors about it, to a managed subnet through
  its own bridge. The reply direction exists only where the flow's first packet came from the container and was let out.

Never marked: what outside begins, and helpers' expected connections (`ct state related` in the original direction).

**forward_done** (filter, priority 100, behind every named one) clears the bit again: it is of no use to anybody after
the filters, and IPsec policies and traffic control look at marks too. Routing has been done by then, and the bit was
set after the routing decision, so no `ip rule` ever sees it.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Network, collapse_addresses

from dockerv6.firewall.model import EgressMode, FirewallIntent, NetworkIntent
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.firewall.terms import (
    Chain,
    ClearMark,
    Element,
    ElementSet,
    Field,
    HasMark,
    In,
    Is,
    Jump,
    KeyType,
    Rule,
    SetMark,
    Verdict,
)

SRCNAT_JUST_BEFORE = 99
"""`srcnat - 1`; netfilter's NF_IP6_PRI_NAT_SRC is 100."""

FILTER_JUST_BEFORE = -1
"""`filter - 1`; NF_IP6_PRI_FILTER is 0."""

AFTER_FILTERS = 100
"""In the forward hook: firewalld filters at 10, security tables at 50."""

NETWORKS = "networks"
EGRESS_ANY = "egress_any"
EGRESS_VIA = "egress_via"
EGRESS_PINNED = "egress_pinned"
EXCLUDED = "excluded"
UPLINK_BRIDGES = "uplink_bridges"


def render(intent: FirewallIntent) -> Ruleset:
    """The ruleset that fulfils the intent; `EMPTY` when nothing in it concerns us and nobody's elements are held.

    Of networks whose subnets overlap, only the first by owner's name gets elements (see `overlapping_owners`).
    """
    networks, _ = _apart(intent.networks)
    if not networks and not intent.hold:
        return EMPTY
    return Ruleset(_chains(intent.mark), _sets(networks, intent.uplink_bridges), exists=True)


def overlapping_owners(intent: FirewallIntent) -> dict[str, str]:
    """Owners whose network is left out because its subnet overlaps another's, and that other owner."""
    return _apart(intent.networks)[1]


def _apart(networks: Iterable[NetworkIntent]) -> tuple[tuple[NetworkIntent, ...], dict[str, str]]:
    """Networks that we do something for, without those that overlap an earlier one: the kernel would refuse all."""
    taken: dict[int, dict[int, str]] = {}
    kept: list[NetworkIntent] = []
    lost: dict[str, str] = {}
    for network in sorted(networks, key=lambda each: (each.owner, each.subnet, each.bridge)):
        if network.internal or network.egress is not EgressMode.MASQUERADE:
            continue
        rival = _rival(network.subnet, taken)
        if rival is not None:
            lost[network.owner] = rival
            continue
        taken.setdefault(network.subnet.prefixlen, {})[_number(network.subnet)] = network.owner
        kept.append(network)
    return tuple(kept), lost


def _number(subnet: IPv6Network) -> int:
    return int(subnet.network_address) >> (subnet.max_prefixlen - subnet.prefixlen)


def _rival(subnet: IPv6Network, taken: dict[int, dict[int, str]]) -> str | None:
    """The owner of a subnet that holds this one or lies in it. `taken`: owners by prefix length and number."""
    number = _number(subnet)
    for length, owners in taken.items():
        if length <= subnet.prefixlen:
            owner = owners.get(number >> (subnet.prefixlen - length))
        else:
            owner = next((each for n, each in owners.items() if n >> (length - subnet.prefixlen) == number), None)
        if owner is not None:
            return owner
    return None


def _sets(networks: tuple[NetworkIntent, ...], uplinks: tuple[str, ...]) -> tuple[ElementSet, ...]:
    prefix, interface = KeyType.PREFIX, KeyType.INTERFACE
    found: dict[str, list[Element]] = {}
    for network in networks:
        for name, element in _elements(network):
            found.setdefault(name, []).append(element)
    return (
        ElementSet(EGRESS_ANY, (prefix,), elements=frozenset(found.get(EGRESS_ANY, ()))),
        ElementSet(EGRESS_PINNED, (prefix,), elements=frozenset(found.get(EGRESS_PINNED, ()))),
        ElementSet(EGRESS_VIA, (prefix, interface), elements=frozenset(found.get(EGRESS_VIA, ()))),
        ElementSet(EXCLUDED, (prefix, prefix), elements=frozenset(found.get(EXCLUDED, ()))),
        ElementSet(NETWORKS, (prefix, interface), elements=frozenset(found.get(NETWORKS, ()))),
        ElementSet(
            UPLINK_BRIDGES, (interface,), interval=False, elements=frozenset(Element((name,)) for name in uplinks)
        ),
    )


@lru_cache(maxsize=4096)
def _elements(network: NetworkIntent) -> tuple[tuple[str, Element], ...]:
    """A network's elements, each with its set's name. Kept, since whenever one network changes all are rendered."""
    subnet, owner = str(network.subnet), network.owner
    found = [(NETWORKS, Element((subnet, network.bridge), owner))]
    found.append((EGRESS_PINNED if network.egress_interfaces else EGRESS_ANY, Element((subnet,), owner)))
    via = (interface for interface in network.egress_interfaces if interface != network.bridge)
    found.extend((EGRESS_VIA, Element((subnet, interface), owner)) for interface in via)
    # Overlapping destinations would be refused; merged, they mean the same.
    excluded = collapse_addresses(network.egress_exclude)
    found.extend((EXCLUDED, Element((subnet, str(destination)), owner)) for destination in excluded)
    return tuple(found)


def _chains(mark: int) -> tuple[Chain, ...]:
    out, back = (Field.SADDR, Field.OIF), (Field.DADDR, Field.OIF)
    return (
        Chain(
            "forward",
            (
                Rule(
                    (In((Field.SADDR, Field.IIF), NETWORKS), Jump("outbound")),
                    "dockerv6: out of a managed network, from its own bridge",
                ),
                Rule(
                    (
                        Is(Field.CT_DIRECTION, frozenset({"reply"})),
                        Is(Field.CT_STATE, frozenset({"established", "related"})),
                        In(back, NETWORKS),
                        SetMark(mark),
                    ),
                    "dockerv6: replies to what containers began; the host's filter accepts this mark",
                ),
            ),
            type="filter",
            hook="forward",
            priority=FILTER_JUST_BEFORE,
            policy="accept",
        ),
        Chain(
            "forward_done",
            (Rule((HasMark(mark), ClearMark(mark)), "dockerv6: the filters have seen the mark, nobody else needs it"),),
            type="filter",
            hook="forward",
            priority=AFTER_FILTERS,
            policy="accept",
        ),
        Chain(
            "outbound",
            (
                Rule((In(out, EGRESS_VIA), SetMark(mark)), "dockerv6: through an egress interface of the network"),
                Rule(
                    (
                        In((Field.SADDR,), EGRESS_ANY),
                        Is(Field.OIF_KIND, frozenset({"bridge"}), negate=True),
                        SetMark(mark),
                    ),
                    "dockerv6: outside; bridges have containers or guests behind them",
                ),
                Rule(
                    (In((Field.SADDR,), EGRESS_ANY), In((Field.OIF,), UPLINK_BRIDGES), SetMark(mark)),
                    "dockerv6: outside, through a bridge that leads there",
                ),
            ),
        ),
        Chain(
            "postrouting",
            (
                Rule(
                    (In(out, NETWORKS), Verdict.ACCEPT), "dockerv6: within its own bridge the engine's hairpin decides"
                ),
                Rule(
                    (In((Field.SADDR, Field.DADDR), EXCLUDED), Verdict.KEEP_SOURCE),
                    "dockerv6: egress.exclude, untranslated, by the engine too",
                ),
                Rule((In(out, EGRESS_VIA), Verdict.MASQUERADE), "dockerv6: NAT66 out of egress.interfaces"),
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
        ),
    )
