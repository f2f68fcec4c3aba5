"""The chains that translate addresses; `render` describes them. Pure."""

from collections.abc import Iterable, Iterator

from dockerv6.firewall.elements import (
    EGRESS_ANY,
    EGRESS_PINNED,
    EGRESS_VIA,
    EXCLUDED,
    EXTERNAL,
    LOOPBACK,
    NETWORKS,
    PUBLISHED,
    PUBLISHED_AT_PORT,
    PUBLISHED_AT_TO,
    PUBLISHED_PORT,
    PUBLISHED_TO,
    ROUTED,
    SNAT_TO,
    TRANSLATED,
)
from dockerv6.firewall.expr import Chain, Dnat, Field, In, Is, Jump, MapField, Rule, SetField, Snat, Verdict
from dockerv6.firewall.model import NetworkIntent
from dockerv6.firewall.prefixes import CHAINS, PREFIX_IN, PREFIX_OUT, rules_of

_BEFORE_TRACKING = -300
"""NF_IP6_PRI_RAW of linux/netfilter_ipv6.h; connection tracking is at -200."""

_DSTNAT_JUST_BEFORE = -101
"""`dstnat - 1`; netfilter's NF_IP6_PRI_NAT_DST is -100."""

_SRCNAT_JUST_BEFORE = 99
"""`srcnat - 1`; netfilter's NF_IP6_PRI_NAT_SRC is 100."""

_SRCNAT_JUST_AFTER = 101
"""In the input hook, the source of replies is translated back before."""

_OUT = (Field.SADDR, Field.OIF)
_PORT = (Field.PROTOCOL, Field.DPORT)
_PORT_AT = (*_PORT, Field.DADDR)
_TARGET = (Field.DADDR, *_PORT)
_LOCAL = Is(Field.DADDR_TYPE, frozenset({"local"}))
_NOT_LOCAL = Is(Field.DADDR_TYPE, frozenset({"local"}), negate=True)
_TRANSLATED = Is(Field.CT_STATUS, frozenset({"dnat"}))
_NOT_LINK_LOCAL = Is(Field.SADDR, frozenset({"fe80::/10"}), negate=True)
_LOOPBACK_ADDRESS = frozenset({"::1"})
_TRANSLATE = "translate"


def nat_chains(networks: Iterable[NetworkIntent]) -> Iterator[Chain]:
    """All chains that translate. Only `prefix_in` and `prefix_out` depend on the networks; sets hold the rest."""
    found: dict[str, list[Rule]] = {name: [] for name in CHAINS}
    for network in networks:
        for name, rule in rules_of(network):
            found[name].append(rule)
    yield from (Chain(name).owning(rules) for name, rules in found.items())
    yield from _loopback()
    yield _postrouting()
    yield from _published()
    yield _translate()


def _published() -> tuple[Chain, ...]:
    rules = (
        Rule(
            (_LOCAL, _NOT_LINK_LOCAL, Dnat(_PORT_AT, PUBLISHED_AT_TO, PUBLISHED_AT_PORT)),
            "dockerv6: ports bound to one address",
        ),
        Rule(
            (_LOCAL, _NOT_LINK_LOCAL, Dnat(_PORT, PUBLISHED_TO, PUBLISHED_PORT)),
            "dockerv6: ports on all addresses of the host",
        ),
        Rule((In((Field.DADDR,), EXTERNAL), _NOT_LOCAL, Jump(PREFIX_IN)), "dockerv6: to an external prefix"),
    )
    return tuple(
        Chain(hook, rules, type="nat", hook=hook, priority=_DSTNAT_JUST_BEFORE, policy="accept")
        for hook in ("output", "prerouting")
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
                        Is(Field.SADDR, _LOOPBACK_ADDRESS),
                        Is(Field.DADDR, _LOOPBACK_ADDRESS),
                        MapField(Field.SADDR, _PORT, LOOPBACK),
                    ),
                    "dockerv6: [::1] to a published port: ::1 cannot leave the host",
                ),
            ),
            type="filter",
            hook="output",
            priority=_BEFORE_TRACKING,
            policy="accept",
        ),
        Chain(
            "loopback_back",
            (
                Rule(
                    (
                        Is(Field.IIF, lo, negate=True),
                        Is(Field.SADDR, _LOOPBACK_ADDRESS),
                        _TRANSLATED,
                        SetField(Field.DADDR, "::1"),
                    ),
                    "dockerv6: replies to [::1]",
                ),
            ),
            type="filter",
            hook="input",
            priority=_SRCNAT_JUST_AFTER,
            policy="accept",
        ),
    )


def _postrouting() -> Chain:
    return Chain(
        "postrouting",
        (
            Rule(
                (In(_OUT, NETWORKS), _TRANSLATED, Verdict.MASQUERADE),
                "dockerv6: hairpin: to a published port of the network of the client",
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
                "dockerv6: egress.exclude: not translated, not by the engine either",
            ),
            Rule((In(_OUT, EGRESS_VIA), Jump(_TRANSLATE)), "dockerv6: out of egress.interfaces"),
            Rule((In((Field.SADDR,), EGRESS_ANY), Jump(_TRANSLATE)), "dockerv6: out of any interface"),
            Rule(
                (In((Field.SADDR,), EGRESS_PINNED), Verdict.KEEP_SOURCE),
                "dockerv6: not through egress.interfaces: not translated",
            ),
        ),
        type="nat",
        hook="postrouting",
        priority=_SRCNAT_JUST_BEFORE,
        policy="accept",
    )


def _translate() -> Chain:
    source = (Field.SADDR,)
    return Chain(
        _TRANSLATE,
        (
            Rule(
                (In(source, ROUTED), Verdict.KEEP_SOURCE), "dockerv6: Routed: not translated, not by the engine either"
            ),
            Rule((Snat(source, SNAT_TO),), "dockerv6: SNAT"),
            Rule((In(source, TRANSLATED), Jump(PREFIX_OUT)), "dockerv6: PrefixTranslation"),
            Rule((Verdict.MASQUERADE,), "dockerv6: Masquerade (NAT66)"),
        ),
    )
