import pytest

from dockerv6.firewall.hostfilter.drops import find_drops, is_accept_rule
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.xtables.rule import PlainTarget, XtablesChain, XtablesRule
from tests.unit.firewall.hostfilter.chains import (
    ACCEPT,
    DROP,
    LOG,
    MARK,
    OURS,
    REJECT,
    RETURN,
    SOME_ACCEPT,
    TO_ENGINE,
    TO_USER,
    chain,
    to,
)

SOME_DROP = XtablesRule(DROP, iif="eth0")

LEGACY = FilterVariant.XTABLES_LEGACY
Host = dict[str, XtablesChain]


def host(policy: str, *forward: XtablesRule, user: tuple[XtablesRule, ...] | None = None) -> Host:
    chains = {"FORWARD": chain(policy, *forward)}
    if user is not None:
        chains["DOCKER-USER"] = chain("", *user)
    return chains


def only_drop(chains: Host) -> ForwardDrop:
    (drop,), _ = find_drops(chains, LEGACY, MARK)
    return drop


@pytest.mark.parametrize(
    "chains",
    [
        {},
        host("ACCEPT"),
        host("ACCEPT", LOG, SOME_DROP),
        host("DROP", SOME_DROP, XtablesRule(ACCEPT)),
        host("ACCEPT", SOME_DROP, XtablesRule(RETURN), XtablesRule(DROP)),
    ],
)
def test_a_filter_that_lets_packets_through_is_no_drop(chains: Host) -> None:
    assert find_drops(chains, LEGACY, MARK) == ((), ())


@pytest.mark.parametrize(
    "chains",
    [host("DROP"), host("DROP", SOME_ACCEPT), host("ACCEPT", LOG, SOME_ACCEPT, XtablesRule(DROP)), host("", REJECT)],
)
def test_a_dropping_policy_or_last_rule_is_a_drop(chains: Host) -> None:
    ((drop,), orphaned) = find_drops(chains, LEGACY, MARK)
    assert (drop.variant, drop.chain, drop.has_accept_rule) == (LEGACY, "FORWARD", False)
    assert orphaned == ()


def test_the_rule_belongs_into_docker_user_where_forward_jumps_there() -> None:
    assert only_drop(host("DROP", TO_USER, TO_ENGINE, user=())).chain == "DOCKER-USER"
    assert only_drop(host("DROP", TO_ENGINE, LOG, TO_USER, user=())).chain == "DOCKER-USER"


def test_a_docker_user_that_is_never_reached_is_no_place() -> None:
    conditional = XtablesRule(TO_USER.target, iif="eth0")
    for forward in ((), (XtablesRule(DROP), TO_USER), (conditional,)):
        assert only_drop(host("DROP", *forward, user=())).chain == "FORWARD"


def test_an_engines_chain_above_the_rule_drops_what_the_rule_accepts() -> None:
    drop = only_drop(host("DROP", TO_ENGINE, SOME_ACCEPT, OURS))
    assert (drop.chain, drop.has_accept_rule) == ("FORWARD", False)


def test_an_engines_chains_drop_whatever_the_policy_is() -> None:
    drop = only_drop(host("ACCEPT", TO_USER, TO_ENGINE, user=()))
    assert (drop.chain, drop.has_accept_rule) == ("DOCKER-USER", False)


def test_a_rule_of_an_administrator_above_ours_is_left_there() -> None:
    assert only_drop(host("DROP", TO_USER, user=(LOG, SOME_DROP, OURS))).has_accept_rule


@pytest.mark.parametrize("above", [DROP, RETURN, ACCEPT])
def test_a_rule_that_is_never_reached_does_not_count(above: PlainTarget) -> None:
    assert not only_drop(host("DROP", TO_USER, TO_ENGINE, user=(XtablesRule(above), OURS))).has_accept_rule


@pytest.mark.parametrize(
    ("user", "present"),
    [
        ((OURS, SOME_DROP), False),  # on top, where versions before this one put it, or a drop that was appended
        ((SOME_DROP, OURS), True),
        ((OURS, SOME_DROP, OURS), False),  # a copy above makes the drop ineffective
        ((SOME_DROP, OURS, OURS), True),
        ((SOME_DROP, OURS, LOG, SOME_ACCEPT), True),
        ((SOME_DROP, OURS, SOME_DROP), False),
        ((OURS, XtablesRule(RETURN), SOME_DROP), True),  # the drop is never reached
    ],
)
def test_the_rule_has_to_be_behind_what_may_drop(user: tuple[XtablesRule, ...], *, present: bool) -> None:
    assert only_drop(host("DROP", TO_USER, TO_ENGINE, user=user)).has_accept_rule is present


def test_a_chain_that_rejects_all_packets_is_a_drop() -> None:
    chains = {"FORWARD": chain("ACCEPT", to("reject")), "reject": chain("", LOG, REJECT)}
    assert only_drop(chains).chain == "FORWARD"


def test_the_rule_in_another_chain_than_its_place_is_orphaned() -> None:
    (drop,), (orphaned,) = find_drops(host("DROP", TO_USER, OURS, user=()), LEGACY, MARK)
    assert (drop.chain, drop.has_accept_rule) == ("DOCKER-USER", False)
    assert orphaned.chain == "FORWARD"


def test_without_a_drop_the_rule_is_orphaned_in_every_chain() -> None:
    drops, orphaned = find_drops(host("ACCEPT", TO_USER, OURS, user=(OURS,)), LEGACY, MARK)
    assert drops == ()
    assert [each.chain for each in orphaned] == ["DOCKER-USER", "FORWARD"]


@pytest.mark.parametrize(
    ("rule", "ours"),
    [
        (OURS, True),
        (XtablesRule(ACCEPT, mark=MARK), True),  # as an administrator writes it
        (XtablesRule(ACCEPT, mark_all=0xFF), False),
        (XtablesRule(ACCEPT, mark_all=MARK, iif="eth0"), False),
        (XtablesRule(DROP, mark_all=MARK), False),
        (XtablesRule(ACCEPT), False),
        (XtablesRule(ACCEPT, unknown=("mark",)), False),
    ],
)
def test_the_accept_rule_is_recognised_by_its_mark(rule: XtablesRule, *, ours: bool) -> None:
    assert is_accept_rule(rule, MARK) is ours
