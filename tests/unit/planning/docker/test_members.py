"""Containers that are attached because of their labels, and only undone where we did it."""

from dataclasses import replace

import pytest

from dockerv6.dockerd.model import COMPOSE_PROJECT, COMPOSE_SERVICE, Attachment, Container
from dockerv6.planning.deletion import plan_deletion
from dockerv6.planning.docker.members import attach_members, detach_members, member_findings
from dockerv6.planning.inputs import NETWORK_LABEL, Observed, RulesView
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import AttachMember, DetachMember
from tests.unit.planning.scene import (
    ENGINE_20_10,
    allocation,
    bridge,
    container,
    decide,
    desired,
    foreign,
    holdings,
    host,
    kinds,
    live,
    observed,
    reasons,
    running,
)

MEMBERS = {"matchLabels": {"stack": "blog"}}
DESIRED = desired(members=MEMBERS)
HERE = live(DESIRED)
HELD = holdings(allocation())
WEB = running("web", stack="blog")
DB = running("db", stack="blog")
OTHER = running("other", stack="shop")


CLAIMED = replace(OTHER, labels={}, image_labels=WEB.labels)
UNKNOWN = replace(CLAIMED, image_problem="No such image: sha256:1 (HTTP 404)")


def composed(service: str, project: str) -> Container:
    return replace(running(service), labels={"stack": "blog", COMPOSE_PROJECT: project, COMPOSE_SERVICE: service})


def aliases(*containers: Container) -> dict[str, tuple[str, ...]]:
    steps = attach_members(DESIRED, state(*containers), HERE)
    return {step.endpoint.container_name: step.endpoint.aliases for step in steps}


def state(*containers: Container, **changes: object) -> Observed:
    return observed(HERE, containers=containers, **changes)


def attached(found: Observed) -> list[str]:
    return [s.endpoint.container_name for s in attach_members(DESIRED, found, HERE)]


def detached(found: Observed) -> list[str]:
    return [s.endpoint.container_name for s in detach_members(DESIRED, found, HERE)]


class TestAttach:
    def test_matching_containers_are_sorted_by_name(self) -> None:
        assert attached(state(WEB, OTHER, DB)) == ["db", "web"]

    def test_all_the_labels_must_be_there(self) -> None:
        both = desired(members={"matchLabels": {"stack": "blog", "tier": "web"}})
        full = running("full", stack="blog", tier="web")
        found = attach_members(both, observed(HERE, containers=(WEB, full)), HERE)
        assert [s.endpoint.container_name for s in found] == ["full"]

    def test_a_container_whose_label_names_the_resource_is_a_member_if_that_is_allowed(self) -> None:
        named = replace(running("named"), labels={NETWORK_LABEL: "blog", COMPOSE_PROJECT: "blog"})
        image = replace(running("image"), image_labels=named.labels)
        other = replace(running("other"), labels={NETWORK_LABEL: "shop"})

        def members(**rights: object) -> list[str]:
            want = desired(members=rights)
            found = observed(HERE, containers=(named, image, other, WEB))
            assert member_findings(want, found) == ()
            return [s.endpoint.container_name for s in attach_members(want, found, HERE)]

        assert members() == ["named"]
        assert members(**MEMBERS) == ["named", "web"]
        assert members(allowLabel=False) == []
        assert members(allowLabel=False, **MEMBERS) == ["web"]
        assert members(allowedComposeProjects=["blog"]) == ["named"]
        assert members(allowedComposeProjects=["shop"]) == []

    def test_a_limit_to_compose_projects_holds_for_both_kinds_of_labels(self) -> None:
        limited = desired(members={**MEMBERS, "allowedComposeProjects": ["shop", "forum"]})
        found = observed(HERE, containers=(composed("web", "shop"), composed("db", "blog"), WEB))
        assert [s.endpoint.container_name for s in attach_members(limited, found, HERE)] == ["web"]
        (finding,) = member_findings(limited, observed(HERE, containers=(WEB,)))
        assert "no running container is labelled stack=blog and of the Compose project shop or forum" in finding.message

    def test_a_container_with_only_the_label_takes_no_alias_from_selected_containers(self) -> None:
        stranger = replace(composed("db", "evil"), id="e" * 64, name="evil")
        stranger = replace(stranger, labels={**stranger.labels, "stack": "evil", NETWORK_LABEL: "blog"})
        assert aliases(composed("db", "shop"), stranger) == {"db": ("db",), "evil": ()}
        assert aliases(stranger) == {"evil": ()}  # it is the first to start

    def test_without_labels_no_container_matches(self) -> None:
        assert attach_members(desired(), state(WEB), HERE) == ()

    @pytest.mark.parametrize("field", ["attachments", "remembered"])
    def test_one_that_is_attached_in_whatever_way_is_not_again(self, field: str) -> None:
        assert attached(state(WEB, DB, **{field: (container("web"),)})) == ["db"]

    def test_it_gets_its_compose_service_as_an_alias(self) -> None:
        assert aliases(composed("front", "shop"), WEB) == {"front": ("front",), "web": ()}

    def test_a_service_without_a_compose_project_is_no_alias(self) -> None:
        assert aliases(replace(WEB, labels={**WEB.labels, COMPOSE_SERVICE: "front"})) == {"web": ()}

    def test_a_label_of_the_image_selects_nothing(self) -> None:
        assert attached(state(CLAIMED, DB)) == ["db"]

    def test_its_default_route_stays_where_it_is_on_engines_that_can(self) -> None:
        (step,) = attach_members(DESIRED, state(WEB), HERE)
        assert step.endpoint.gw_priority == -1
        (step,) = attach_members(DESIRED, state(WEB, engine=ENGINE_20_10), HERE)
        assert step.endpoint.gw_priority == 0

    @pytest.mark.parametrize("mode", ["host", "none"])
    def test_a_container_without_networks_of_its_own_is_reported(self, mode: str) -> None:
        alone = replace(WEB, network_mode=mode)
        assert attached(state(alone, DB)) == ["db"]
        (finding,) = member_findings(DESIRED, state(alone, DB))
        assert (finding.reason, finding.blocks, finding.unknown) == ("MemberRefused", False, True)
        assert f"web (network_mode {mode})" in finding.message

    # qdm12/gluetun: services that use a VPN container's network have its address
    @pytest.mark.parametrize("field", ["attachments", "containers"])
    def test_a_container_that_shares_the_network_of_a_member_has_its_address(self, field: str) -> None:
        shared = replace(WEB, network_mode=f"container:{DB.id}")
        found = state(shared, DB) if field == "containers" else state(shared, attachments=(container("db"),))
        assert member_findings(DESIRED, found) == ()

    def test_one_that_shares_the_network_of_another_container_names_that_one(self) -> None:
        vpn = replace(OTHER, id="d" * 64, name="vpn")
        shared = replace(WEB, network_mode=f"container:{vpn.id}")
        (finding,) = member_findings(DESIRED, state(shared, vpn))
        assert finding.message == (
            "spec.members: web shares the network of container vpn, which is not a member; set the label"
            " dockerv6.io/network=blog on vpn, or remove the label from web"
        )
        assert member_findings(DESIRED, state(shared, replace(vpn, labels={NETWORK_LABEL: "blog"}))) == ()
        (finding,) = member_findings(DESIRED, state(shared, replace(vpn, network_mode="host")))
        assert "container vpn, which (network_mode host) can't be attached to any network" in finding.message
        (finding,) = member_findings(DESIRED, state(shared))
        assert "container dddddddddddd, which is not running" in finding.message

    def test_a_selector_of_a_compose_project_leaves_out_its_containers_without_networks(self) -> None:
        want = desired(members={"matchLabels": {COMPOSE_PROJECT: "blog"}})
        agent = replace(composed("agent", "blog"), network_mode="host")
        offline = replace(composed("offline", "blog"), network_mode="none")
        beside = replace(composed("beside", "blog"), network_mode=f"container:{agent.id}")
        alone = observed(HERE, containers=(agent, offline, beside))
        found = observed(HERE, containers=(agent, offline, beside, composed("web", "blog")))
        assert member_findings(want, found) == ()
        assert [s.endpoint.container_name for s in attach_members(want, found, HERE)] == ["web"]
        (finding,) = member_findings(want, alone)
        assert finding.message == (
            "spec.members: no running container is labelled com.docker.compose.project=blog, apart from those with"
            " network_mode host or none; add the labels to a container, or correct spec.members"
        )
        # a label that a person wrote was meant
        labelled = desired(members={"matchLabels": {COMPOSE_PROJECT: "blog", "stack": "blog"}})
        assert [f.reason for f in member_findings(labelled, found)] == ["MemberRefused"]


def test_members_of_several_compose_projects_get_no_aliases() -> None:
    assert aliases(composed("db", "shop"), composed("front", "evil")) == {"db": (), "front": ()}


class TestDetach:
    def test_our_member_without_the_labels_is_detached(self) -> None:
        found = state(OTHER, attachments=(container("other"),), members=frozenset({"other-id"}))
        assert detached(found) == ["other"]

    def test_one_that_was_attached_by_hand_stays(self) -> None:
        assert detached(state(OTHER, attachments=(container("other"),))) == []
        assert detached(state(OTHER, attachments=(container("other"),), members=frozenset({"web-id"}))) == []

    def test_one_that_has_them_stays(self) -> None:
        assert detached(state(WEB, attachments=(container("web"),), members=frozenset({"web-id"}))) == []

    def test_a_stopped_container_stays_since_its_labels_are_unknown(self) -> None:
        stopped = container("web", running=False)
        assert detached(state(attachments=(stopped,), members=frozenset({"web-id"}))) == []

    def test_one_whose_image_can_not_be_inspected_is_neither_attached_nor_detached(self) -> None:
        found = state(UNKNOWN, attachments=(container("other"),), members=frozenset({"other-id"}))
        assert (attached(state(UNKNOWN)), detached(found)) == ([], [])
        assert detached(replace(found, containers=(CLAIMED,))) == ["other"]

    def test_those_of_a_block_that_was_removed_go(self) -> None:
        found = state(WEB, attachments=(container("web"),), members=frozenset({"web-id"}))
        (step,) = detach_members(desired(), found, HERE)
        assert isinstance(step, DetachMember)


class TestFindings:
    def test_a_selector_without_containers_is_reported(self) -> None:
        assert reasons(member_findings(DESIRED, state(OTHER))) == [("NetworkReady", "NoMember")]
        assert "stack=blog" in member_findings(DESIRED, state(OTHER))[0].message

    def test_labels_of_an_image_are_named(self) -> None:
        (finding,) = member_findings(DESIRED, state(CLAIMED))
        assert finding.reason == "NoMember"
        assert "container other has the labels from its image only, which select nothing" in finding.message
        assert member_findings(DESIRED, state(CLAIMED, WEB)) == ()

    def test_a_container_whose_image_can_not_be_inspected_is_reported(self) -> None:
        (finding,) = member_findings(DESIRED, state(UNKNOWN, WEB))
        assert finding.reason == "MemberRefused"
        assert "its image can't be inspected (No such image: sha256:1 (HTTP 404))" in finding.message

    def test_all_is_well_otherwise(self) -> None:
        assert member_findings(DESIRED, state(WEB)) == ()
        assert member_findings(desired(), state()) == ()

    def test_a_silent_engine_leaves_it_open(self) -> None:
        assert member_findings(DESIRED, state(engine=None)) == ()


class TestInThePlan:
    def test_members_come_after_the_network(self) -> None:
        found = decide(DESIRED, observed(containers=(WEB,)), HELD)
        assert kinds(found)[-2:] == ["CreateNetwork", "AttachMember"]

    def test_detaching_goes_before_attaching(self) -> None:
        found = state(WEB, OTHER, attachments=(container("other"),), members=frozenset({"other-id"}))
        plan = decide(DESIRED, found, HELD)
        assert kinds(plan) == ["DetachMember", "AttachMember"]
        assert plan.disconnected == 1

    def test_the_engines_silence_leaves_them_where_they_are(self) -> None:
        assert decide(DESIRED, state(WEB, engine=None, engine_problem="x"), HELD).empty

    def test_when_all_are_attached_nothing_is_left_to_do(self) -> None:
        found = state(WEB, attachments=(container("web"),), members=frozenset({"web-id"}))
        assert decide(DESIRED, found, HELD) == Plan("IPv6Network", "blog")

    def test_a_recreation_takes_them_along_once(self) -> None:
        want = desired(members=MEMBERS, updateStrategy="Recreate", labels={"a": "b"})
        found = state(WEB, attachments=(container("web"),), members=frozenset({"web-id"}))
        plan = decide(want, found, HELD)
        assert [k for k in kinds(plan) if k.startswith("Attach")] == ["AttachEndpoint"]

    def test_an_observed_network_has_members_too(self) -> None:
        want = desired(managementPolicy="Observe", networkName="x", members=MEMBERS)
        there = foreign("x")
        (step,) = decide(want, observed(there, containers=(WEB,)), holdings()).steps
        assert isinstance(step, AttachMember)
        assert step.network == "x"
        assert decide(want, observed(there, containers=(WEB,), attachments=(container("web"),)), holdings()).empty

    def test_members_of_a_foreign_network_wait_for_its_rules(self) -> None:
        want = desired(managementPolicy="Observe", networkName="x", members=MEMBERS)
        found = observed(foreign("x"), containers=(WEB,), rules=RulesView(problem="install nft"))
        assert decide(want, found, holdings()).empty


class TestDeletion:
    OURS = frozenset({"web-id", "cron-id"})

    def delete(self, *there: Attachment, members: frozenset[str] = OURS, **spec: object) -> Plan:
        want = desired(members=MEMBERS, **spec)
        return plan_deletion(want, state(WEB, attachments=there, members=members), HELD)

    def test_ours_are_released_and_not_waited_for(self) -> None:
        assert kinds(self.delete(container("web")))[:2] == ["DetachMember", "RemoveNetwork"]

    def test_stopped_ones_too_since_they_could_not_start_without_it(self) -> None:
        found = self.delete(container("web"), container("cron", running=False))
        assert kinds(found)[:3] == ["DetachMember", "DetachMember", "RemoveNetwork"]

    def test_others_are_waited_for(self) -> None:
        found = self.delete(container("web"), container("hand"))
        assert (found.empty, reasons(found)) == (True, [("Ready", "EndpointsAttached")])
        assert "hand" in found.findings[0].message
        assert "web" not in found.findings[0].message

    def test_an_orphan_keeps_them(self) -> None:
        assert "DetachMember" not in kinds(self.delete(container("web"), deletionPolicy="Orphan"))

    @pytest.mark.parametrize(("orphan", "steps"), [(False, ["DetachMember"]), (True, [])])
    def test_members_are_detached_from_an_observed_network(self, orphan: bool, steps: list[str]) -> None:  # noqa: FBT001
        spec = {"deletionPolicy": "Orphan"} if orphan else {}
        want = desired(managementPolicy="Observe", networkName="x", members=MEMBERS, **spec)
        there = (container("web"), container("hand"))
        found = observed(
            foreign("x"), host=host(bridge(foreign("x"))), attachments=there, members=self.OURS, containers=(WEB,)
        )
        found = replace(found, rules=RulesView())
        assert kinds(plan_deletion(want, found, holdings())) == steps
