import pytest

from dockerv6.firewall.hostfilter.chains import FilterChain, FilterRule, Target, judge
from dockerv6.firewall.model import FilterVariant

OURS = FilterRule(Target.ACCEPT, conditional=True, ours=True)
TO_USER = FilterRule(Target.JUMP, "DOCKER-USER")
TO_ENGINE = FilterRule(Target.JUMP, "DOCKER-ISOLATION-STAGE-1")
SOME_DROP = FilterRule(Target.DROP, conditional=True)
SOME_ACCEPT = FilterRule(Target.ACCEPT, conditional=True)
ALL_DROP = FilterRule(Target.DROP)
ALL_ACCEPT = FilterRule(Target.ACCEPT)
LOG = FilterRule(Target.OTHER)
RETURN = FilterRule(Target.RETURN)

LEGACY = FilterVariant.XTABLES_LEGACY


def host(policy: str, *forward: FilterRule, user: tuple[FilterRule, ...] | None = None) -> dict[str, FilterChain]:
    chains = {"FORWARD": FilterChain(policy, forward)}
    if user is not None:
        chains["DOCKER-USER"] = FilterChain("", user)
    return chains


@pytest.mark.parametrize(
    "chains",
    [
        {},
        host("ACCEPT"),
        host("accept", LOG, SOME_DROP),
        host("DROP", SOME_DROP, ALL_ACCEPT),
        host("ACCEPT", SOME_DROP, RETURN, ALL_DROP),
    ],
)
def test_a_filter_that_lets_through_is_no_barrier(chains: dict[str, FilterChain]) -> None:
    assert judge(chains, LEGACY) == ((), ())


@pytest.mark.parametrize(
    "chains", [host("DROP"), host("drop", SOME_ACCEPT), host("ACCEPT", LOG, SOME_ACCEPT, ALL_DROP)]
)
def test_a_dropping_policy_or_last_rule_is_a_barrier(chains: dict[str, FilterChain]) -> None:
    ((barrier,), stray) = judge(chains, LEGACY)
    assert (barrier.variant, barrier.chain, barrier.has_accept_rule, barrier.repairable) == (
        LEGACY,
        "FORWARD",
        False,
        True,
    )
    assert stray == ()


def test_the_rule_belongs_into_docker_user_where_forward_goes_there() -> None:
    assert judge(host("DROP", TO_USER, TO_ENGINE, user=()), LEGACY)[0][0].chain == "DOCKER-USER"
    assert judge(host("DROP", TO_ENGINE, LOG, TO_USER, user=()), LEGACY)[0][0].chain == "DOCKER-USER"


def test_a_docker_user_that_is_never_reached_is_no_place() -> None:
    assert judge(host("DROP", user=()), LEGACY)[0][0].chain == "FORWARD"
    assert judge(host("DROP", ALL_DROP, TO_USER, user=()), LEGACY)[0][0].chain == "FORWARD"
    conditional = FilterRule(Target.JUMP, "DOCKER-USER", conditional=True)
    assert judge(host("DROP", conditional, user=()), LEGACY)[0][0].chain == "FORWARD"


def test_an_engines_chain_above_the_rule_drops_what_it_should_let_through() -> None:
    (barrier,), _ = judge(host("DROP", TO_ENGINE, SOME_ACCEPT, OURS), LEGACY)
    assert (barrier.chain, barrier.has_accept_rule) == ("FORWARD", False)


def test_an_engines_chains_drop_whatever_the_policy_is() -> None:
    (barrier,), _ = judge(host("ACCEPT", TO_USER, TO_ENGINE, user=()), LEGACY)
    assert (barrier.chain, barrier.has_accept_rule) == ("DOCKER-USER", False)


def test_a_person_who_put_a_rule_above_ours_means_it() -> None:
    (barrier,), _ = judge(host("DROP", TO_USER, user=(LOG, SOME_DROP, OURS)), LEGACY)
    assert barrier.has_accept_rule


@pytest.mark.parametrize("above", [ALL_DROP, RETURN, ALL_ACCEPT])
def test_a_rule_that_is_never_reached_does_not_count(above: FilterRule) -> None:
    (barrier,), _ = judge(host("DROP", TO_USER, user=(above, OURS)), LEGACY)
    assert not barrier.has_accept_rule


def test_the_rule_in_another_chain_than_its_place_is_stray() -> None:
    (barrier,), (stray,) = judge(host("DROP", TO_USER, OURS, user=()), LEGACY)
    assert (barrier.chain, barrier.has_accept_rule) == ("DOCKER-USER", False)
    assert stray.chain == "FORWARD"


def test_without_a_barrier_the_rule_is_stray_wherever_it_is() -> None:
    barriers, stray = judge(host("ACCEPT", TO_USER, OURS, user=(OURS,)), LEGACY)
    assert barriers == ()
    assert [each.chain for each in stray] == ["DOCKER-USER", "FORWARD"]
