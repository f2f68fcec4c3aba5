"""Whether a filter drops forwarded packets, and whether our accept rule is in its place. Pure."""

from collections.abc import Collection, Mapping

from dockerv6.firewall.hostfilter.place import FORWARD, USER, FilterChains, Layout, entered, is_engine_chain
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.xtables.rule import FILTER, PlainTarget, XtablesRule

COMMENT = "dockerv6: flows that inet dockerv6 allows"


def accept_rule(mark: int) -> XtablesRule:
    """Our one rule in the host's own filter."""
    return XtablesRule(PlainTarget.ACCEPT, mark_all=mark, comment=COMMENT)


def is_accept_rule(rule: XtablesRule, mark: int) -> bool:
    """Whether a rule accepts all packets with our mark: ours, or one like it that an administrator has written."""
    return rule.target is PlainTarget.ACCEPT and rule.conditions in ({"mark_all": mark}, {"mark": mark})


def has_accept_rule(layout: Layout, name: str, mark: int) -> bool:
    """Whether our accept rule is in its place in the chain, and no copy of it above that.

    It need not be where it would be inserted: anywhere between the last rule that may drop and the first one that
    blocks it does the same. So it does not compete with a program that likes to be first, and with one that likes to be
    last only if that one may drop (see `contests`). Engine 20.10 puts its jumps on top of FORWARD whenever it creates a
    network, and then ours goes above them again; that ends, since the engine does so only then.
    """
    chain = layout.chains.get(name)
    if chain is None:
        return False
    place = layout.place(name)
    copies = [at for at, each in enumerate(chain.rules[: place.blocking]) if is_accept_rule(each.rule, mark)]
    return bool(copies) and copies[0] >= place.first


def find_drops(
    chains: FilterChains,
    variant: FilterVariant,
    mark: int,
    conceded: Mapping[str, Collection[XtablesRule]] | None = None,
) -> tuple[tuple[ForwardDrop, ...], tuple[ForwardDrop, ...]]:
    """The forward drop of xtables' FORWARD, if it or an engine's chain drops; and our orphaned accept rules.

    An accept rule in the chain where it belongs is never orphaned. Without a drop every accept rule of ours is: it
    opens nothing that isn't open, but it keeps marked packets from the rules below it. FORWARD's policy changes when an
    engine starts, not while it runs, so this doesn't flap.
    """
    if FORWARD not in chains:
        return (), ()
    layout = Layout(chains, conceded or {})
    place = layout.chain() if _drops(layout) else ""
    found: tuple[ForwardDrop, ...] = ()
    if place:
        found = (ForwardDrop(variant, FILTER, place, has_accept_rule=has_accept_rule(layout, place, mark)),)
    orphaned = tuple(
        ForwardDrop(variant, FILTER, name, has_accept_rule=True)
        for name in (USER, FORWARD)
        if name in chains and name != place and any(is_accept_rule(each.rule, mark) for each in chains[name].rules)
    )
    return found, orphaned


def _drops(layout: Layout) -> bool:
    """Whether FORWARD drops a packet that no conditional rule has decided about, or an engine's chain may do so."""
    forward = layout.chains[FORWARD]
    fate = layout.fate(FORWARD)
    if fate is PlainTarget.DROP or (fate is PlainTarget.RETURN and forward.policy == "DROP"):
        return True
    return any(is_engine_chain(entered(each.rule)) for each in forward.rules)
