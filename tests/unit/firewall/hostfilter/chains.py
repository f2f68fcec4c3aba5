"""Chains of a host's filter as values."""

from dockerv6.firewall.hostfilter.drops import accept_rule
from dockerv6.firewall.xtables.rule import (
    ChainTarget,
    ExtensionTarget,
    ListedRule,
    PlainTarget,
    XtablesChain,
    XtablesRule,
)

MARK = 0x10000000
ACCEPT, DROP, RETURN = PlainTarget.ACCEPT, PlainTarget.DROP, PlainTarget.RETURN

OURS = accept_rule(MARK)
BAN = XtablesRule(DROP, source="2001:db8::bad/128")
SOME_ACCEPT = XtablesRule(ACCEPT, unknown=("limit",))
SOME_RETURN = XtablesRule(RETURN, source="2001:db8::1/128")
LOG = XtablesRule(ExtensionTarget("LOG"))
REJECT = XtablesRule(ExtensionTarget("REJECT"))

Chains = dict[str, XtablesChain]


def to(name: str, *, goto: bool = False, iif: str = "") -> XtablesRule:
    """A jump."""
    return XtablesRule(ChainTarget(name, jump=not goto), iif=iif)


TO_USER = to("DOCKER-USER")
TO_ENGINE = to("DOCKER-ISOLATION-STAGE-1")


def chain(policy: str, *rules: XtablesRule) -> XtablesChain:
    """A chain with these rules."""
    return XtablesChain(policy, tuple(ListedRule("filter", "-", rule) for rule in rules))


def filter_of(policy: str, *forward: XtablesRule, **others: tuple[XtablesRule, ...]) -> Chains:
    """FORWARD, and other chains by their names; `user` is DOCKER-USER."""
    named = {"DOCKER-USER" if name == "user" else name: chain("", *rules) for name, rules in others.items()}
    return {"FORWARD": chain(policy, *forward), **named}
