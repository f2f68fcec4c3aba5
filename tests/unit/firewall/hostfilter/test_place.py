"""Where the accept rule belongs, in the situations of real hosts. Random chains: tests/property/test_accept_rule."""

import pytest

from dockerv6.firewall.hostfilter.place import Layout, Place, unread
from dockerv6.firewall.xtables.rule import ExtensionTarget, MarkTarget, XtablesRule
from tests.unit.firewall.hostfilter.chains import (
    ACCEPT,
    BAN,
    DROP,
    LOG,
    OURS,
    REJECT,
    RETURN,
    SOME_ACCEPT,
    SOME_RETURN,
    TO_ENGINE,
    TO_USER,
    Chains,
    filter_of,
    to,
)

UFW = ("ufw6-before-forward", "ufw6-after-logging-forward", "ufw6-reject-forward")


def ufw(*reject: XtablesRule, before: tuple[XtablesRule, ...] = (SOME_ACCEPT, to("ufw6-user-forward"))) -> Chains:
    """What ufw's chains look like, with a route that is denied."""
    chains = dict(zip(UFW, (before, (LOG,), reject), strict=True)) | {"ufw6-user-forward": (BAN,)}
    return filter_of("DROP", *map(to, UFW), **chains)


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ((), Place(0, 0)),
        ((BAN,), Place(1, 1)),  # -A FORWARD of a ban
        ((OURS, BAN), Place(2, 2)),
        ((BAN, OURS), Place(1, 2)),
        ((BAN, SOME_ACCEPT, LOG, XtablesRule(DROP)), Place(1, 3)),  # logged is only what is then dropped
        ((LOG, REJECT, BAN), Place(0, 1)),
        ((XtablesRule(RETURN), BAN), Place(0, 0)),  # as engines < 28 end DOCKER-USER
        ((XtablesRule(ACCEPT), BAN), Place(0, 0)),
        ((BAN, TO_ENGINE, BAN), Place(1, 1)),
        ((to("DOCKER", iif="eth0"), TO_ENGINE), Place(0, 1)),
        ((to("elsewhere", goto=True), BAN), Place(0, 0)),
        ((XtablesRule(MarkTarget(1, 1), iif="eth0"),), Place(0, 1)),
        ((XtablesRule(ExtensionTarget("NFQUEUE")),), Place(1, 1)),  # an intrusion prevention system may drop
        ((XtablesRule(unknown=("lookup",)),), Place(1, 1)),  # a verdict map
        ((XtablesRule(iif="eth0", unknown=("recent",)),), Place(0, 1)),  # counts only
    ],
)
def test_it_is_behind_what_may_drop_and_before_what_blocks(rules: tuple[XtablesRule, ...], place: Place) -> None:
    assert Layout(filter_of("DROP", *rules)).place("FORWARD") == place


def test_it_is_behind_ufws_rules_and_before_what_it_rejects() -> None:
    assert Layout(ufw()).place("FORWARD") == Place(1, 3)  # by policy
    assert Layout(ufw(REJECT)).place("FORWARD") == Place(1, 2)
    assert Layout(ufw(REJECT, before=(REJECT,))).place("FORWARD") == Place(0, 0)


def test_it_is_before_the_zones_of_firewalld() -> None:
    zones = (to("FWDI_home", goto=True, iif="eth1"), to("FWDI_public", goto=True))
    chains = filter_of(
        "ACCEPT",
        to("FORWARD_direct"),
        to("FORWARD_IN_ZONES"),
        REJECT,
        FORWARD_direct=(BAN,),
        FORWARD_IN_ZONES=zones,
        FWDI_public=(LOG, REJECT),
    )
    assert Layout(chains).place("FORWARD") == Place(1, 1)


def test_a_chain_of_bans_comes_before_it() -> None:
    mailcow = filter_of("DROP", to("MAILCOW"), TO_ENGINE, MAILCOW=(BAN,))
    assert Layout(mailcow).place("FORWARD") == Place(1, 1)
    empty = filter_of("DROP", to("MAILCOW"), TO_ENGINE, MAILCOW=())
    assert Layout(empty).place("FORWARD") == Place(0, 1)


@pytest.mark.parametrize(
    ("chains", "name"),
    [
        (filter_of("DROP", TO_USER, TO_ENGINE, user=(BAN,)), "DOCKER-USER"),
        (filter_of("DROP", TO_USER, TO_ENGINE, user=(BAN, SOME_RETURN)), "DOCKER-USER"),
        (filter_of("DROP", BAN, TO_USER, TO_ENGINE, BAN, user=()), "DOCKER-USER"),
        # packets that return early have to meet it too; trusted clients before a drop for all others, for example
        (filter_of("DROP", TO_USER, TO_ENGINE, user=(SOME_RETURN, BAN)), "FORWARD"),
        (filter_of("DROP", TO_USER, TO_ENGINE, user=(SOME_RETURN, BAN, REJECT)), "DOCKER-USER"),
        (filter_of("DROP", TO_USER, TO_ENGINE, user=(to("f2b", goto=True),), f2b=(BAN,)), "FORWARD"),
        (filter_of("DROP", TO_USER, TO_USER, TO_ENGINE, user=(BAN,)), "DOCKER-USER"),
        # what is behind DOCKER-USER may drop
        (filter_of("DROP", TO_USER, BAN, TO_ENGINE, user=()), "FORWARD"),
        (filter_of("DROP", TO_USER, SOME_ACCEPT, TO_ENGINE, user=()), "DOCKER-USER"),
        # an engine that is just putting its jumps on top
        (filter_of("DROP", TO_ENGINE, TO_USER, user=()), "DOCKER-USER"),
    ],
)
def test_it_is_in_docker_user_unless_packets_would_miss_it_there(chains: Chains, name: str) -> None:
    assert Layout(chains).chain() == name


def test_a_conceded_rule_neither_blocks_nor_drops() -> None:
    chains = filter_of("DROP", REJECT, BAN, TO_ENGINE)
    assert Layout(chains, {"FORWARD": {REJECT}}).place("FORWARD") == Place(2, 2)
    assert Layout(chains, {"FORWARD": {REJECT, BAN}}).place("FORWARD") == Place(0, 2)
    assert Layout(chains, {"DOCKER-USER": {REJECT}}).place("FORWARD") == Place(0, 0)


def test_the_chains_that_matter_are_read_and_not_those_of_the_engine() -> None:
    chains = filter_of("DROP", to("a"), to("b", iif="eth0"), TO_USER, TO_ENGINE, user=(to("c", goto=True),))
    assert unread(chains) == {"a", "b", "c"}
    # one that is known to drop need not be followed to all of the clients' chains
    assert unread(filter_of("DROP", a=(BAN, to("d", iif="eth0"), to("e")))) == {"e"}


def test_chains_that_lead_in_a_circle_while_they_change_end() -> None:
    chains = filter_of("DROP", to("a"), TO_ENGINE, a=(to("b"),), b=(to("a"),))
    assert Layout(chains).place("FORWARD") == Place(0, 1)
