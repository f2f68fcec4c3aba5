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
from tests.unit.firewall.hostfilter.chains import LOG, MARK, OURS, TO_USER, Chains, chain, to

LABELS = ("a", "b", "c")
PACKETS = [frozenset(each) for each in joined.from_iterable(combinations(LABELS, n) for n in range(4))]
"""A packet is the set of the conditions that it fulfils."""

DROPS = (PlainTarget.DROP, ExtensionTarget("REJECT"))
ENGINE = "DOCKER-FORWARD"
CALLED = ("outer", "inner")


def rules(*chains: str) -> st.SearchStrategy[XtablesRule]:
    """Rules of a chain that may lead into these chains."""
    jumps = [ChainTarget(name, jump=jump) for name in chains for jump in (True, True, False)]
    targets = (PlainTarget.ACCEPT, PlainTarget.RETURN, *DROPS, ExtensionTarget("LOG"), *jumps)
    condition = st.sampled_from((*LABELS, *LABELS, ""))
    return st.builds(XtablesRule, target=st.sampled_from(targets), iif=condition)


def listed(*chains: str, ours: bool = False, most: int = 4) -> st.SearchStrategy[list[XtablesRule]]:
    rule = rules(*chains)
    return st.lists(rule | st.just(OURS) if ours else rule, max_size=most)


def as_engines_have_it(
    above: list[XtablesRule], between: list[XtablesRule], below: list[XtablesRule]
) -> list[XtablesRule]:
    """FORWARD with the jumps of an engine among other rules."""
    return [*above, TO_USER, *between, to(ENGINE), *below]


def filters(forward: st.SearchStrategy[list[XtablesRule]]) -> st.SearchStrategy[Chains]:
    chains = st.fixed_dictionaries(
        {
            FORWARD: forward,
            USER: listed(*CALLED, ours=True),
            "outer": listed("inner", ENGINE),
            "inner": listed(),
        }
    )
    return chains.map(lambda found: {name: chain("DROP", *each) for name, each in found.items()})


ANY_FORWARD = listed(USER, ENGINE, *CALLED, ours=True, most=6)
SOME_FORWARD = listed(*CALLED, ours=True, most=2)
ENGINE_FORWARD = st.builds(as_engines_have_it, SOME_FORWARD, SOME_FORWARD, SOME_FORWARD)
FILTERS = filters(ANY_FORWARD | ENGINE_FORWARD)


@dataclass
class Sent:
    """What a packet meets: rules as (chain, index), and its verdict; `engine`: it is left to the engine."""

    met: list[tuple[str, int]] = field(default_factory=list)
    verdict: str = ""
    marked: bool = True


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
        if (rule.iif and rule.iif not in packet) or (is_accept_rule(rule, MARK) and not sent.marked):
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


def first_blocking(chains: Chains, name: str) -> int:
    """The index of the first rule that no packet gets past: the one that fulfils no condition doesn't."""
    sent = Sent(marked=False)
    _enter(chains, name, frozenset(), sent)
    here = [at for chain_met, at in sent.met if chain_met == name]
    if here:
        target = chains[name].rules[here[-1]].rule.target
        if sent.verdict or target is PlainTarget.RETURN or (isinstance(target, ChainTarget) and not target.jump):
            return here[-1]
    return len(chains[name].rules)


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
    blocking = first_blocking(settled, place)
    assert any(each.rule == OURS for each in settled[place].rules[:blocking])
    for packet in PACKETS:
        assert (place, blocking) not in send(settled, packet).met


@given(filters(ENGINE_FORWARD))
def test_no_packet_returns_from_docker_user_to_what_blocks_without_meeting_the_accept_rule(chains: Chains) -> None:
    settled, place = settle(without(chains))
    assume(place == USER)
    blocking = first_blocking(settled, FORWARD)
    assume(settled[FORWARD].rules[blocking:] and entered(settled[FORWARD].rules[blocking].rule) != USER)
    assume(TO_USER in [each.rule for each in settled[FORWARD].rules[:blocking]])
    for packet in PACKETS:
        assert (FORWARD, blocking) not in send(settled, packet).met


@given(FILTERS)
def test_every_drop_above_what_blocks_is_in_force(chains: Chains) -> None:
    bare = without(chains)
    settled, place = settle(chains)
    assume(place)
    limits = {name: first_blocking(bare, name) for name in (FORWARD, USER)}
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
