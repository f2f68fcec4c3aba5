"""What a filter's chains do to forwarded packets: whether they drop, and where our accept rule belongs. Pure."""

from collections.abc import Mapping

from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.xtables.rule import FILTER, ChainTarget, ExtensionTarget, PlainTarget, XtablesChain, XtablesRule

FORWARD = "FORWARD"
USER = "DOCKER-USER"
COMMENT = "dockerv6: flows that inet dockerv6 allows"

_ENGINE_CHAINS = "DOCKER"
_DROPS = frozenset({PlainTarget.DROP, ExtensionTarget("REJECT")})
_ENDS = _DROPS | {PlainTarget.ACCEPT, PlainTarget.RETURN}

FilterChains = Mapping[str, XtablesChain]
"""FORWARD and DOCKER-USER of one variant, as far as they exist, by name."""


def accept_rule(mark: int) -> XtablesRule:
    """Our one rule in the host's own filter."""
    return XtablesRule(PlainTarget.ACCEPT, mark_all=mark, comment=COMMENT)


def is_accept_rule(rule: XtablesRule, mark: int) -> bool:
    """Whether a rule accepts all packets with our mark: ours, or one like it that an administrator has written."""
    return rule.target is PlainTarget.ACCEPT and rule.conditions in ({"mark_all": mark}, {"mark": mark})


def drops(chain: XtablesChain) -> bool:
    """Whether a packet that no conditional rule has decided about is dropped."""
    for each in chain.rules:
        if not each.rule.conditions and each.rule.target in _ENDS:
            if each.rule.target is PlainTarget.RETURN:
                break  # in a base chain that means its policy
            return each.rule.target in _DROPS
    return chain.policy == "DROP"


def has_accept_rule(chain: XtablesChain, mark: int) -> bool:
    """Whether our accept rule is in the chain, and packets reach it.

    It need not be the first rule: an administrator who inserts one above ours means it, and competing for the first
    place would never end. A rule above counts against ours when it ends the chain for every packet, or leads into a
    chain of the engine's: those drop what goes between networks. Engine 20.10 puts its jumps on top of FORWARD whenever
    it creates a network, and then ours goes above them again; that ends, since the engine does so only then.
    """
    for each in chain.rules:
        if is_accept_rule(each.rule, mark):
            return True
        if not each.rule.conditions and (each.rule.target in _ENDS or _enters_engine(each.rule)):
            return False
    return False


def accept_rule_chain(chains: FilterChains) -> str:
    """The chain for the accept rule: DOCKER-USER where FORWARD jumps there; engines < 23 don't have it for IPv6."""
    if USER in chains:
        for each in chains[FORWARD].rules:
            if not each.rule.conditions and _entered(each.rule) == USER:
                return USER
            if not each.rule.conditions and each.rule.target in _ENDS:
                break
    return FORWARD


def find_drops(
    chains: FilterChains, variant: FilterVariant, mark: int
) -> tuple[tuple[ForwardDrop, ...], tuple[ForwardDrop, ...]]:
    """The forward drop of xtables' FORWARD, if it or an engine's chain drops; and our orphaned accept rules.

    An accept rule in the chain where it belongs is never orphaned. Without a drop every accept rule of ours is: it
    opens nothing that isn't open, but it keeps marked packets from the rules below it. FORWARD's policy changes when an
    engine starts, not while it runs, so this doesn't flap.
    """
    if FORWARD not in chains:
        return (), ()
    forward = chains[FORWARD]
    place = ""
    if drops(forward) or any(_enters_engine(each.rule) for each in forward.rules):
        place = accept_rule_chain(chains)
    found: tuple[ForwardDrop, ...] = ()
    if place:
        present = has_accept_rule(chains[place], mark)
        found = (ForwardDrop(variant, FILTER, place, has_accept_rule=present),)
    orphaned = tuple(
        ForwardDrop(variant, FILTER, name, has_accept_rule=True)
        for name in (USER, FORWARD)
        if name in chains and name != place and any(is_accept_rule(each.rule, mark) for each in chains[name].rules)
    )
    return found, orphaned


def _entered(rule: XtablesRule) -> str:
    return rule.target.chain if isinstance(rule.target, ChainTarget) else ""


def _enters_engine(rule: XtablesRule) -> bool:
    """Whether it leads into a chain in which an engine drops what it didn't publish itself."""
    name = _entered(rule)
    return name.startswith(_ENGINE_CHAINS) and name != USER
