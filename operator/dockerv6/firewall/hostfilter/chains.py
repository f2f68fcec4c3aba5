"""What is to be known of a filter's chains, in whatever language they are written, and the judgement. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from dockerv6.firewall.model import FilterVariant, ForwardDrop

FORWARD = "FORWARD"
USER = "DOCKER-USER"
TABLE = "filter"
COMMENT = "dockerv6: flows that inet dockerv6 allows"


class Target(StrEnum):
    """What a rule does with a packet, as far as it matters here."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"  # or reject
    RETURN = "RETURN"
    JUMP = "jump"
    OTHER = "other"  # counts, logs, marks: the packet goes on


_ENDS = frozenset({Target.ACCEPT, Target.DROP, Target.RETURN})


@dataclass(frozen=True, slots=True)
class FilterRule:
    """One rule. `conditional`: it has a match, so not every packet is concerned. `ours`: accepts our mark."""

    target: Target
    jump: str = ""
    conditional: bool = False
    ours: bool = False


@dataclass(frozen=True, slots=True)
class FilterChain:
    """A chain; `policy` is empty for one that is not a base chain."""

    policy: str = ""
    rules: tuple[FilterRule, ...] = ()


Chains = Mapping[str, FilterChain]


def mark_match(mark: int) -> str:
    """The mark as xtables writes the match on it: value and mask."""
    return f"{mark:#x}/{mark:#x}"


def drops(chain: FilterChain) -> bool:
    """Whether a packet that no conditional rule has decided about is dropped."""
    for rule in chain.rules:
        if not rule.conditional and rule.target in {Target.ACCEPT, Target.DROP}:
            return rule.target is Target.DROP
        if not rule.conditional and rule.target is Target.RETURN:
            break  # in a base chain that means its policy
    return chain.policy.upper() == "DROP"


def admits(rules: Iterable[FilterRule]) -> bool:
    """Whether our accept rule is there and reached.

    It need not be the first rule: a person who inserts one above ours means it, and fighting for the first place would
    never end. A rule above counts against ours when it ends the chain for every packet, or leads into a chain of the
    engine's: those drop what goes between networks. Engine 20.10 puts its jumps on top of FORWARD whenever it creates a
    network, and then ours goes above them again; that ends, since the engine does so only then.
    """
    for rule in rules:
        if rule.ours:
            return True
        if not rule.conditional and (rule.target in _ENDS or _engines(rule)):
            return False
    return False


def _engines(rule: FilterRule) -> bool:
    """Whether it leads into a chain in which an engine drops what it didn't publish itself."""
    return rule.jump.startswith("DOCKER") and rule.jump != USER


def home(chains: Chains) -> str:
    """The chain for the accept rule: DOCKER-USER where FORWARD goes there, which engines < 23 don't have for IPv6."""
    if USER in chains:
        for rule in chains[FORWARD].rules:
            if rule.jump == USER and not rule.conditional:
                return USER
            if not rule.conditional and rule.target in _ENDS:
                break
    return FORWARD


def judge(chains: Chains, variant: FilterVariant) -> tuple[tuple[ForwardDrop, ...], tuple[ForwardDrop, ...]]:
    """The barrier that xtables' FORWARD is, if it or an engine's chain drops, and our accept rules where there is none.

    A rule in the barrier's chain is never stray. Without a barrier every accept rule of ours is: it opens nothing that
    isn't open, but it keeps marked packets from the rules below it. FORWARD's policy changes when an engine starts, not
    while it runs, so going by it doesn't flap.
    """
    if FORWARD not in chains:
        return (), ()
    forward = chains[FORWARD]
    place = home(chains) if drops(forward) or any(_engines(rule) for rule in forward.rules) else ""
    barriers = (
        (ForwardDrop(variant, TABLE, place, has_accept_rule=admits(chains[place].rules), repairable=True),)
        if place
        else ()
    )
    stray = tuple(
        ForwardDrop(variant, TABLE, name, has_accept_rule=True, repairable=True)
        for name in (USER, FORWARD)
        if name in chains and name != place and any(rule.ours for rule in chains[name].rules)
    )
    return barriers, stray
