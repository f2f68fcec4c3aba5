"""The place of the accept rule in random chains, judged by sending every kind of packet through them."""

from dataclasses import dataclass, field
from itertools import chain as joined
from itertools import combinations

from hypothesis import assume, given
from hypothesis import strategies as st

from dockerv6.firewall.hostfilter.drops import find_drops, has_accept_rule, is_accept_rule
from dockerv6.firewall.hostfilter.place import FORWARD, USER, Layout, entered, is_engine_chain
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.xtables.rule import (
    ChainTarget,
    ExtensionTarget,
    ListedRule,
    PlainTarget,
    XtablesChain,
    XtablesRule,
)
from tests.unit.firewall.hostfilter.chains import LOG, MARK, OURS, Chains, chain

LABELS = ("a", "b", "c")
PACKETS = [frozenset(each) for each in joined.from_iterable(combinations(LABELS, n) for n in range(4))]
"""A packet is the set of the conditions that it fulfils. Each is marked."""

DROPS = (PlainTarget.DROP, ExtensionTarget("REJECT"))
ENGINE = "DOCKER-FORWARD"
CALLED = ("outer", "inner")


def rules(*chains: str) -> st.SearchStrategy[XtablesRule]:
    """Rules of a chain that may lead into these chains."""
    jumps = [ChainTarget(name, jump=jump) for name in chains for jump in (True, True, False)]
    targets = (PlainTarget.ACCEPT, PlainTarget.RETURN, *DROPS, ExtensionTarget("LOG"), *jumps)
    condition = st.sampled_from((*LABELS, *LABELS, ""))
    return st.builds(XtablesRule, target=st.sampled_from(targets), iif=condition)


def listed(*chains: str, ours: bool = False) -> st.SearchStrategy[XtablesChain]:
    rule = rules(*chains)
    return st.lists(rule | st.just(OURS) if ours else rule, max_size=6).map(lambda found: chain("DROP", *found))


FILTERS = st.fixed_dictionaries(
    {
        FORWARD: listed(USER, ENGINE, *CALLED, ours=True),
        USER: listed(*CALLED, ours=True),
        "outer": listed("inner", ENGINE),
        "inner": listed(),
    }
)


@dataclass
class Sent:
    """What a packet meets: rules as (chain, index), and its verdict; `engine`: it is left to the engine."""

    met: list[tuple[str, int]] = field(default_factory=list)
    verdict: str = ""


def send(chains: Chains, packet: frozenset[str]) -> Sent:
    sent = Sent()
    _enter(chains, FORWARD, packet, sent)
    sent.verdict = sent.verdict or "policy"
    return sent


def _enter(chains: Chains, name: str, packet: frozenset[str], sent: Sent) -> None:
    if is_engine_chain(name):
        sent.verdict = "engine"
        return
    for at, each in enumerate(chains[name].rules):
        rule = each.rule
        if rule.iif and rule.iif not in packet:
            continue
        sent.met.append((name, at))
        if rule.target in DROPS:
            sent.verdict = "dropped"
        elif rule.target is PlainTarget.ACCEPT:
            sent.verdict = "ours" if is_accept_rule(rule, MARK) else "accepted"
        elif isinstance(rule.target, ChainTarget):
            _enter(chains, rule.target.chain, packet, sent)
        if sent.verdict or rule.target is PlainTarget.RETURN:
            return
        if isinstance(rule.target, ChainTarget) and not rule.target.jump:
            return


def _jumps(rule: XtablesRule) -> bool:
    return isinstance(rule.target, ChainTarget) and rule.target.jump


def without(chains: Chains) -> Chains:
    return {
        name: chain("DROP", *(each.rule for each in found.rules if each.rule != OURS)) for name, found in chains.items()
    }


def settle(chains: Chains) -> tuple[Chains, str]:
    """Do what is found to be done, once; the chain with the accept rule, or "" if none is needed."""
    drops, orphaned = find_drops(chains, FilterVariant.XTABLES_LEGACY, MARK)
    settled = dict(chains)
    for drop in drops:
        if not drop.has_accept_rule:
            found, place = list(chains[drop.chain].rules), Layout(chains).place(drop.chain)
            kept = [each for each in found[: place.first] if each.rule != OURS]
            rest = [each for each in found[place.first :] if each.rule != OURS]
            settled[drop.chain] = XtablesChain("DROP", (*kept, ListedRule("filter", "-", OURS), *rest))
    for each in orphaned:
        settled[each.chain] = chain("DROP", *(e.rule for e in chains[each.chain].rules if e.rule != OURS))
    return settled, drops[0].chain if drops else ""


@given(FILTERS)
def test_the_place_is_a_fixed_point(chains: Chains) -> None:
    settled, place = settle(chains)
    drops, orphaned = find_drops(settled, FilterVariant.XTABLES_LEGACY, MARK)
    assert all(each.has_accept_rule and each.chain == place for each in drops)
    assert bool(drops) == bool(place)
    assert orphaned == ()
    assert settle(settled)[0] == settled
    assert without(settled) == without(chains)


@given(FILTERS)
def test_every_packet_that_reaches_what_blocks_reaches_the_accept_rule(chains: Chains) -> None:
    settled, place = settle(chains)
    assume(place)
    blocking = Layout(settled).place(place).blocking
    end = len(settled[place].rules)
    for packet in PACKETS:
        sent = send(settled, packet)
        if blocking < end:
            assert (place, blocking) not in sent.met
        elif place == FORWARD and sent.verdict == "policy":
            early = [settled[FORWARD].rules[at].rule for name, at in sent.met if name == FORWARD]
            assert any(e.target is PlainTarget.RETURN or (entered(e) and not _jumps(e)) for e in early)


@given(FILTERS)
def test_every_drop_above_what_blocks_is_in_force(chains: Chains) -> None:
    bare = without(chains)
    settled, place = settle(chains)
    assume(place)
    limits = {name: Layout(bare).place(name).blocking for name in (FORWARD, USER)}
    forward = [each.rule for each in bare[FORWARD].rules]
    into_user = next((at for at, e in enumerate(forward) if entered(e) == USER and not e.conditions), len(forward))
    for packet in PACKETS:
        sent = send(bare, packet)
        tops = [at for name, at in sent.met if name == FORWARD]
        in_user = [at for name, at in sent.met if name == USER]
        if sent.verdict != "dropped":
            continue
        by_user = bool(in_user) and tops[-1] == into_user == limits[FORWARD]
        if tops[-1] < limits[FORWARD] or (by_user and in_user[-1] < limits[USER]):
            assert send(settled, packet).verdict == "dropped"


@given(FILTERS, st.data())
def test_what_does_not_matter_moves_nothing(chains: Chains, data: st.DataObject) -> None:
    settled, place = settle(chains)
    assume(place)
    assume(not Layout(settled).place(place).first or place == FORWARD)
    found = [each.rule for each in settled[place].rules]
    passes = data.draw(st.sampled_from((XtablesRule(PlainTarget.ACCEPT, iif="a"), LOG)))
    bans = XtablesRule(PlainTarget.DROP, iif="a")
    changed = data.draw(st.sampled_from(([bans, *found], [passes, *found], [*found, passes])))
    after = settled | {place: chain("DROP", *changed)}
    assert has_accept_rule(Layout(after), place, MARK)
    assert settle(after)[1] == place
