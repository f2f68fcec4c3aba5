"""Rules that translate the prefix of one network, from its intent and back. Pure.

Everything else that belongs to a network is an element of a set or a map. Prefixes can't be: nftables 1.0.6 refuses a
map from prefixes to prefixes in JSON ("Value must be a singleton"), and its text syntax is unsafe for names that users
choose.
"""

from collections.abc import Iterator
from functools import lru_cache

from dockerv6.firewall.expr import Field, Is, Netmap, Rule
from dockerv6.firewall.model import NetworkIntent
from dockerv6.lib.networking import EgressMode

PREFIX_IN = "prefix_in"
"""The chain of rules from external prefixes to subnets."""

PREFIX_OUT = "prefix_out"
"""The chain of rules from subnets to external prefixes."""

CHAINS = {PREFIX_IN: Field.DADDR, PREFIX_OUT: Field.SADDR}
"""The field that the rules of each chain match on, and replace."""

_HOST = "/128"


def rules_of(network: NetworkIntent) -> Iterator[tuple[str, Rule]]:
    """A network's rules, each with its chain: to its first external prefix, and from all of them."""
    if network.egress is not EgressMode.PREFIX_TRANSLATION or network.internal or not network.external_prefixes:
        return
    subnet = str(network.subnet)
    yield PREFIX_OUT, rule(PREFIX_OUT, subnet, str(network.external_prefixes[0]), network.owner)
    for external in network.external_prefixes:
        yield PREFIX_IN, rule(PREFIX_IN, str(external), subnet, network.owner)


@lru_cache(maxsize=4096)
def rule(chain: str, prefix: str, to: str, owner: str) -> Rule:
    """The rule of that chain that replaces `prefix` by `to`."""
    field = CHAINS[chain]
    return Rule(
        (Is(field, frozenset({prefix.removesuffix(_HOST)})), Netmap(field, to.removesuffix(_HOST))), owner=owner
    )


def prefixes_of(made: Rule) -> tuple[str, str]:
    """The prefix that a rule matches, and the one that replaces it.

    Raises:
        ValueError: the rule translates no prefix.
    """
    match made.terms:
        case (Is(field, values, False), Netmap(other, to)) if field is other and len(values) == 1:
            return _whole(next(iter(values))), _whole(to)
    raise ValueError(f"this rule translates no prefix: {made}")


def _whole(prefix: str) -> str:
    return prefix if "/" in prefix else prefix + _HOST
