from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from dockerv6.dockerd.model import Attachment, Network, NetworkSpec, SubnetConfig
from dockerv6.planning.docker.network_spec import differences, fingerprint, network_spec
from dockerv6.planning.docker.recreation import PreviousNetwork, Recreation, attach, creation, plan_rollback, spec_of
from dockerv6.planning.inputs import SPEC_HASH, Holdings, Observed, RulesView
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import (
    AttachEndpoint,
    BindSubnet,
    CreateNetwork,
    DetachEndpoint,
    RememberEndpoints,
    RememberNetwork,
    RemoveNetwork,
)
from tests.simulation.resources import network, pool
from tests.unit.planning.scene import (
    ENGINE_28,
    IDENTITY,
    NOW,
    SUBNET,
    allocation,
    container,
    created,
    decide,
    desired,
    foreign,
    holdings,
    kinds,
    live,
    observed,
)

WANT = network_spec(network(ipv4={"subnet": "192.0.2.0/24", "gateway": "192.0.2.1"}), SUBNET, IDENTITY)
ELSEWHERE = IPv6Network("2001:db8:9:1::/64")
MOVED = network_spec(network(), ELSEWHERE, IDENTITY)
WEB, CRON = container("web"), container("cron", running=False)


def recreation(
    want: NetworkSpec = WANT, attached: tuple[Attachment, ...] = (), missing: tuple[Attachment, ...] = ()
) -> Recreation:
    return Recreation(live(), want, attached, missing, allocation(), "x")


def having(name: str, ipv6: IPv6Address | None) -> Attachment:
    """A container to which the engine gave that address."""
    return replace(container(name), ipv6=ipv6)


def again(steps: tuple[AttachEndpoint, ...]) -> list[tuple[str, IPv6Address | None]]:
    """The attached containers in order, with their fixed addresses."""
    return [(s.endpoint.container_name, s.endpoint.static_ipv6) for s in steps]


class TestAttachment:
    def test_those_with_fixed_addresses_come_first_then_by_name(self) -> None:
        db, api = container("db", ipv6=str(SUBNET[9])), container("api", ipv4="192.0.2.9")
        order = [s.endpoint.container_name for s in attach((WEB, CRON, db, api), WANT)]
        assert order == ["api", "db", "cron", "web"]

    @pytest.mark.parametrize("want", [WANT, MOVED], ids=["the same prefix", "another one"])
    def test_the_others_come_in_the_order_of_their_addresses_for_engines_give_out_ascending_ones(
        self, want: NetworkSpec
    ) -> None:
        new = having("a-new", None)
        before = (having("b", SUBNET[3]), having("c", SUBNET[2]), new, having("a", SUBNET[4]))
        found = attach(before, want)
        assert [s.endpoint.container_name for s in found] == ["c", "b", "a", "a-new"]
        assert {s.endpoint.static_ipv6 for s in found} == {None}

    @pytest.mark.parametrize(
        ("want", "subnet"), [(WANT, SUBNET), (MOVED, ELSEWHERE)], ids=["the same prefix", "another one"]
    )
    def test_behind_a_gap_the_address_is_asked_for(self, want: NetworkSpec, subnet: IPv6Network) -> None:
        before = (having("a", SUBNET[2]), having("b", SUBNET[5]), having("c", SUBNET[6]))
        assert again(attach(before, want)) == [("b", subnet[5]), ("c", subnet[6]), ("a", None)]

    def test_one_that_has_an_address_of_its_own_leaves_no_gap(self) -> None:
        before = (having("a", SUBNET[2]), container("db", ipv6=str(SUBNET[3])), having("b", SUBNET[4]))
        assert again(attach(before, WANT)) == [("db", SUBNET[3]), ("a", None), ("b", None)]

    def test_beside_others_it_is_asked_for_unless_one_of_them_has_it(self) -> None:
        before = (having("a", SUBNET[2]), having("b", SUBNET[3]))
        assert again(attach(before, live(), (SUBNET[2],))) == [("b", SUBNET[3]), ("a", None)]
        assert again(attach(before, live(), ())) == [("a", SUBNET[2]), ("b", SUBNET[3])]

    def test_one_that_the_network_keeps_for_itself_is_left_to_the_engine(self) -> None:
        reserved = {"subnet": str(SUBNET), "reserved": [str(SUBNET[9])]}
        want = network_spec(network(addressing=reserved), SUBNET, IDENTITY)
        assert again(attach((having("a", SUBNET[9]), having("b", SUBNET[1])), want)) == [("b", None), ("a", None)]

    def test_of_two_with_the_same_suffix_one_has_it(self) -> None:
        before = (having("a", SUBNET[5]), having("b", ELSEWHERE[5]))
        assert again(attach(before, WANT)) == [("a", SUBNET[5]), ("b", None)]

    def test_an_address_keeps_its_suffix_under_another_prefix(self) -> None:
        (step,) = attach((container("db", ipv6=str(SUBNET[0x5_0007])),), MOVED)
        assert step.endpoint.static_ipv6 == ELSEWHERE[0x5_0007]

    def test_of_a_longer_prefix_only_what_is_behind_it_is_kept(self) -> None:
        narrow = network_spec(network(), IPv6Network("2001:db8:9:1:2::/80"), IDENTITY)
        (step,) = attach((container("db", ipv6=str(SUBNET[(7 << 48) + 5])),), narrow)
        assert step.endpoint.static_ipv6 == IPv6Address("2001:db8:9:1:2::5")

    def test_an_ipv4_address_that_does_not_fit_is_left_to_the_engine(self) -> None:
        (step,) = attach((container("db", ipv4="198.51.100.9"),), WANT)
        assert step.endpoint.static_ipv4 is None
        (step,) = attach((container("db", ipv4="192.0.2.9"),), WANT)
        assert step.endpoint.static_ipv4 == IPv4Address("192.0.2.9")

    @pytest.mark.parametrize("before", [SUBNET, IPv6Network("fd99::/64")], ids=["the same prefix", "another one"])
    def test_what_the_gateway_has_is_left_to_the_engine(self, before: IPv6Network) -> None:
        (step,) = attach((container("db", ipv6=str(before[1]), ipv4="192.0.2.1"),), WANT)
        assert (step.endpoint.static_ipv6, step.endpoint.static_ipv4) == (None, None)

    @pytest.mark.parametrize("before", [SUBNET, IPv6Network("fd99::/64")], ids=["the same prefix", "another one"])
    def test_so_is_what_is_reserved(self, before: IPv6Network) -> None:
        reserved = {"subnet": str(SUBNET), "reserved": [str(SUBNET[9])]}
        want = network_spec(network(addressing=reserved), SUBNET, IDENTITY)
        (step,) = attach((container("db", ipv6=str(before[9])),), want)
        assert step.endpoint.static_ipv6 is None

    def test_a_network_without_ipv6_has_none_of_the_addresses(self) -> None:
        (step,) = attach((container("db", ipv6=str(SUBNET[9])),), NetworkSpec("blog"))
        assert step.endpoint.static_ipv6 is None

    def test_everything_else_of_an_attachment_is_kept(self) -> None:
        endpoint = replace(WEB, aliases=("www",), links=("db:db",), driver_opts={"a": "b"}, gw_priority=3)
        assert attach((endpoint,), WANT) == (AttachEndpoint("blog", endpoint),)


class TestRecreation:
    def test_without_missing_containers_no_endpoints_are_remembered(self) -> None:
        assert kinds(creation("blog", (), WANT, "x")) == ["CreateNetwork"]
        assert kinds(recreation().steps("blog")) == ["RememberNetwork", "RemoveNetwork", "CreateNetwork"]

    def test_missing_containers_are_remembered_with_the_detached_ones(self) -> None:
        steps = recreation(attached=(WEB,), missing=(CRON,)).steps("blog")
        assert RememberEndpoints("blog", "blog", (WEB, CRON)) in steps
        assert kinds(steps).count("DetachEndpoint") == 1
        assert kinds(steps).count("AttachEndpoint") == 2

    def test_all_is_written_down_before_anything_is_taken_away(self) -> None:
        assert kinds(recreation(attached=(WEB,)).steps("blog")) == [
            "RememberNetwork",
            "RememberEndpoints",
            "DetachEndpoint",
            "RemoveNetwork",
            "CreateNetwork",
            "AttachEndpoint",
        ]

    def test_the_network_is_written_down_with_the_subnet_that_its_owner_holds(self) -> None:
        remember = recreation(MOVED).steps("blog")[0]
        assert remember == RememberNetwork("blog", spec_of(live()), SUBNET, "default")

    def test_without_an_allocation_there_is_no_way_back_to_write_down(self) -> None:
        steps = replace(recreation(), bound=None).steps("blog")
        assert kinds(steps) == ["RemoveNetwork", "CreateNetwork"]

    def test_a_created_network_has_the_labels_of_its_resource(self) -> None:
        for steps in (creation("blog", (), WANT, "x"), recreation().steps("blog")):
            (create,) = (s for s in steps if isinstance(s, CreateNetwork))
            assert create.spec.labels[SPEC_HASH] == fingerprint(WANT)
        assert SPEC_HASH not in WANT.labels


class TestIPv4OfARecreation:
    """IPv4 addresses of containers do not change with the IPv6 prefix."""

    CHOSEN = SubnetConfig(IPv4Network("172.18.0.0/16"), IPv4Address("172.18.0.1"))

    def made(self, want: NetworkSpec) -> NetworkSpec:
        there = live()
        there = replace(there, ipam=(self.CHOSEN, *there.ipv6))
        (create,) = (s for s in replace(recreation(want), live=there).steps("blog") if isinstance(s, CreateNetwork))
        return create.spec

    def test_the_subnet_that_the_engine_chose_stays(self) -> None:
        assert self.made(MOVED).ipam == (self.CHOSEN, *MOVED.ipam)

    def test_a_static_address_in_it_stays_too(self) -> None:
        there = replace(live(), ipam=(self.CHOSEN, *live().ipv6))
        db = container("db", ipv4="172.18.0.9")
        steps = replace(recreation(MOVED, (db,)), live=there).steps("blog")
        (again,) = (s for s in steps if isinstance(s, AttachEndpoint))
        assert again.endpoint.static_ipv4 == IPv4Address("172.18.0.9")

    def test_what_the_resource_fixes_goes_before(self) -> None:
        assert self.made(WANT).ipam == WANT.ipam

    def test_a_network_without_ipv4_gets_none(self) -> None:
        want = network_spec(network(ipv4={"enabled": False}), SUBNET, IDENTITY)
        assert self.made(want).ipam == want.ipam


def test_a_network_can_be_asked_for_as_it_was() -> None:
    there = live()
    added = {"com.docker.network.enable_ipv4": "true", "com.docker.network.enable_ipv6": "true"}
    spec = spec_of(replace(there, options={**there.options, **added}))
    assert created(spec) == there
    assert spec.labels[SPEC_HASH] == there.labels[SPEC_HASH]


NEW = IPv6Network("2001:db8:7::/48")
DESIRED = desired(None, pool(prefix=str(NEW)), updateStrategy="Recreate")
RENUMBERED = IPv6Network("2001:db8:7:1::/64")
OLD = live(DESIRED)
PREVIOUS = PreviousNetwork(spec_of(OLD), SUBNET, "default")
MADE = live(DESIRED, RENUMBERED, number=2)
REBOUND = holdings(allocation(RENUMBERED, revision=8))
WEB_WITH_IPV6, DB = replace(container("web"), ipv6=SUBNET[2]), container("db", ipv6=str(SUBNET[9]))


def back(state: Observed, held: Holdings = REBOUND) -> Plan:
    without_rules = replace(state, rules=RulesView())  # the table has those of the new subnet
    return plan_rollback(DESIRED, without_rules, held, PREVIOUS)


def attached(plan: Plan) -> list[Attachment]:
    return [s.endpoint for s in plan.steps if isinstance(s, AttachEndpoint)]


class TestWhileTheNetworkIsGone:
    """The engine refused the new one."""

    PLAN = back(observed(applied=True, remembered=(WEB_WITH_IPV6, DB)))

    def test_subnet_rules_network_and_endpoints_are_restored_in_this_order(self) -> None:
        assert kinds(self.PLAN) == ["BindSubnet", "UpdateFirewall", "CreateNetwork", "AttachEndpoint", "AttachEndpoint"]

    def test_the_allocation_shows_the_revision_that_it_replaces(self) -> None:
        (bind,) = (s for s in self.PLAN.steps if isinstance(s, BindSubnet))
        assert bind == BindSubnet("blog", "default", SUBNET, 8, bind.reason)

    def test_the_network_is_the_very_same(self) -> None:
        (create,) = (s for s in self.PLAN.steps if isinstance(s, CreateNetwork))
        assert created(create.spec) == OLD

    def test_an_ipv4_subnet_that_another_network_got_meanwhile_is_chosen_by_the_engine_again(self) -> None:
        other = replace(foreign("shop"), ipam=(*foreign("shop").ipam, *OLD.ipv4))
        (create,) = (s for s in back(observed(other)).steps if isinstance(s, CreateNetwork))
        assert create.spec.ipam == tuple(OLD.ipv6)
        (create,) = (s for s in back(observed(foreign("shop"))).steps if isinstance(s, CreateNetwork))
        assert create.spec.ipam == OLD.ipam

    def test_every_container_gets_its_previous_address(self) -> None:
        assert attached(self.PLAN) == [DB, WEB_WITH_IPV6]

    def test_without_previous_endpoints_none_are_attached(self) -> None:
        assert kinds(back(observed(applied=True))) == ["BindSubnet", "UpdateFirewall", "CreateNetwork"]


class TestWhileTheNewOneIsThere:
    """A container could not be attached to it."""

    NEWLY = replace(container("web"), ipv6=RENUMBERED[2])
    STATIC = container("db", ipv6=str(RENUMBERED[9]))

    def test_a_container_is_detached_after_that_was_recorded(self) -> None:
        plan = back(observed(MADE, attachments=(self.NEWLY,), remembered=(DB,)))
        assert kinds(plan) == [
            "RememberEndpoints",
            "DetachEndpoint",
            "RemoveNetwork",
            "BindSubnet",
            "UpdateFirewall",
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

    def test_without_containers_no_endpoints_are_remembered(self) -> None:
        plan = back(observed(MADE))
        assert kinds(plan) == ["RemoveNetwork", "BindSubnet", "UpdateFirewall", "CreateNetwork"]

    def test_one_under_another_name_is_removed_too(self) -> None:
        renamed = replace(MADE, name="other")
        assert kinds(back(observed(renamed, created=frozenset({renamed.id}))))[0] == "RemoveNetwork"


class TestTheAllocation:
    def test_what_never_changed_is_not_bound_again(self) -> None:
        plan = back(observed(), holdings(allocation()))
        assert kinds(plan) == ["UpdateFirewall", "CreateNetwork"]

    def test_a_lost_prefix_is_generated_again(self) -> None:
        (bind,) = (s for s in back(observed(), holdings()).steps if isinstance(s, BindSubnet))
        assert (bind.prefix, bind.seen) == (SUBNET, None)


def test_every_step_has_the_reason_of_the_rollback() -> None:
    plan = back(observed(MADE, attachments=(WEB_WITH_IPV6,), remembered=(DB,)))
    ours = [s for s in plan.steps if not isinstance(s, AttachEndpoint)]
    assert {s.reason for s in ours} == {"the new network could not be created"}


@pytest.mark.parametrize(
    ("there", "attachments", "remembered"),
    [
        ((), (), (WEB_WITH_IPV6, DB)),
        ((MADE,), (replace(WEB_WITH_IPV6, ipv6=RENUMBERED[2]),), (DB,)),
        ((MADE,), (WEB_WITH_IPV6, DB), ()),
    ],
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
    state = observed(again, applied=True, attachments=tuple(attached(plan)))
    assert decide(same_as_ever, state, holdings(allocation(since=NOW, revision=9))).empty
