"""The way back, from wherever the way forward ended."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.dockerd.model import Attachment, Network
from dockerv6.planning.docker.network_spec import differences
from dockerv6.planning.docker.recreation import PreviousNetwork, as_it_was, plan_rollback
from dockerv6.planning.inputs import Holdings, Observed
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import (
    AttachEndpoint,
    BindSubnet,
    CreateNetwork,
    DetachEndpoint,
    RememberEndpoints,
    RemoveNetwork,
)
from tests.simulation.resources import pool
from tests.unit.planning.scene import (
    ENGINE_28,
    NOW,
    SUBNET,
    allocation,
    container,
    created,
    decide,
    desired,
    holdings,
    kinds,
    live,
    observed,
)

NEW = IPv6Network("2001:db8:7::/48")
WISH = desired(None, pool(prefix=str(NEW)), updateStrategy="Recreate")
MOVED = IPv6Network("2001:db8:7:1::/64")
OLD = live(WISH)
FORMER = PreviousNetwork(as_it_was(OLD), SUBNET, "default")
MADE = live(WISH, MOVED, number=2)
REBOUND = holdings(allocation(MOVED, revision=8))
WEB, DB = replace(container("web"), ipv6=SUBNET[2]), container("db", ipv6=str(SUBNET[9]))


def back(moment: Observed, held: Holdings = REBOUND) -> Plan:
    return plan_rollback(WISH, moment, held, FORMER)


def attached(plan: Plan) -> list[Attachment]:
    return [s.endpoint for s in plan.steps if isinstance(s, AttachEndpoint)]


class TestWhileTheNetworkIsGone:
    """The engine refused the new one."""

    PLAN = back(observed(applied=True, remembered=(WEB, DB)))

    def test_the_subnet_comes_back_then_its_rules_then_the_network_then_everybody(self) -> None:
        assert kinds(self.PLAN) == ["BindSubnet", "EnsureRules", "CreateNetwork", "AttachEndpoint", "AttachEndpoint"]

    def test_the_allocation_shows_the_revision_that_it_replaces(self) -> None:
        (bind,) = (s for s in self.PLAN.steps if isinstance(s, BindSubnet))
        assert bind == BindSubnet("blog", "default", SUBNET, 8, bind.reason)

    def test_the_network_is_the_very_same(self) -> None:
        (create,) = (s for s in self.PLAN.steps if isinstance(s, CreateNetwork))
        assert created(create.spec) == OLD

    def test_everybody_has_the_address_again_that_they_had(self) -> None:
        assert attached(self.PLAN) == [DB, WEB]

    def test_nobody_who_was_on_it_is_nobody_to_attach(self) -> None:
        assert kinds(back(observed(applied=True))) == ["BindSubnet", "EnsureRules", "CreateNetwork"]


class TestWhileTheNewOneIsThere:
    """Somebody could not be attached to it."""

    NEWLY = replace(container("web"), ipv6=MOVED[2])
    STATIC = container("db", ipv6=str(MOVED[9]))

    def test_who_is_on_it_is_taken_off_after_that_was_written_down(self) -> None:
        plan = back(observed(MADE, attachments=(self.NEWLY,), remembered=(DB,)))
        assert kinds(plan) == [
            "RememberEndpoints",
            "DetachEndpoint",
            "RemoveNetwork",
            "BindSubnet",
            "EnsureRules",
            "CreateNetwork",
            "AttachEndpoint",
            "AttachEndpoint",
        ]
        (remember,) = (s for s in plan.steps if isinstance(s, RememberEndpoints))
        assert {e.container_name for e in remember.endpoints} == {"web", "db"}

    def test_only_the_new_network_is_removed(self) -> None:
        plan = back(observed(MADE, attachments=(self.NEWLY,)))
        assert [s.network_id for s in plan.steps if isinstance(s, RemoveNetwork)] == [MADE.id]
        assert {s.network_id for s in plan.steps if isinstance(s, DetachEndpoint)} == {MADE.id}

    def test_a_static_address_goes_back_to_the_old_prefix(self) -> None:
        plan = back(observed(MADE, attachments=(self.STATIC, self.NEWLY)))
        assert [(e.container_name, e.static_ipv6) for e in attached(plan)] == [("db", SUBNET[9]), ("web", None)]

    def test_nobody_on_it_is_nothing_to_write_down(self) -> None:
        plan = back(observed(MADE))
        assert kinds(plan) == ["RemoveNetwork", "BindSubnet", "EnsureRules", "CreateNetwork"]

    def test_one_under_another_name_is_removed_too(self) -> None:
        renamed = replace(MADE, name="other")
        assert kinds(back(observed(renamed)))[0] == "RemoveNetwork"


class TestTheAllocation:
    def test_what_never_changed_is_not_bound_again(self) -> None:
        plan = back(observed(), holdings(allocation()))
        assert kinds(plan) == ["EnsureRules", "CreateNetwork"]

    def test_one_that_is_lost_is_made_anew(self) -> None:
        (bind,) = (s for s in back(observed(), holdings()).steps if isinstance(s, BindSubnet))
        assert (bind.prefix, bind.seen) == (SUBNET, None)


def test_it_is_told_why() -> None:
    plan = back(observed(MADE, attachments=(WEB,), remembered=(DB,)))
    ours = [s for s in plan.steps if not isinstance(s, AttachEndpoint)]
    assert {s.reason for s in ours} == {"the new one could not be had"}


@pytest.mark.parametrize(
    ("there", "attachments", "remembered"),
    [((), (), (WEB, DB)), ((MADE,), (replace(WEB, ipv6=MOVED[2]),), (DB,)), ((MADE,), (WEB, DB), ())],
    ids=["gone", "half of them attached", "all attached"],
)
def test_what_is_there_afterwards_is_what_was_there_before(
    there: tuple[Network, ...], attachments: tuple[Attachment, ...], remembered: tuple[Attachment, ...]
) -> None:
    plan = back(observed(*there, attachments=attachments, remembered=remembered))
    (create,) = (s for s in plan.steps if isinstance(s, CreateNetwork))
    again = created(create.spec, number=3)
    assert not differences(create.spec, again, ENGINE_28)
    assert {e.container_name for e in attached(plan)} == {"web", "db"}
    same_as_ever = desired()
    moment = observed(again, applied=True, attachments=tuple(attached(plan)))
    assert decide(same_as_ever, moment, holdings(allocation(since=NOW, revision=9))).empty
