"""Labels of dockerv6 on Docker networks and containers: which have no effect, and the message about each."""

from dataclasses import replace
from unittest.mock import Mock

import pytest

from dockerv6.dockerd.model import COMPOSE_PROJECT, PROBE_LABEL, Container, ContainerEndpoint, Network
from dockerv6.planning import labels
from dockerv6.planning.inputs import (
    INSTALLATION_LABEL,
    MANAGED_BY,
    NAME_LABEL,
    NETWORK_LABEL,
    POLICY_LABEL,
    SPEC_HASH,
    Identity,
)
from dockerv6.planning.labels import MAX_REPORTED, MORE, LabelInputs, claimed_networks, ignored_labels
from dockerv6.planning.policy import assign_networks
from tests.simulation.resources import network, policy
from tests.unit.planning.scene import desired, foreign, live, running

POLICIES = {
    "zone": policy("zone", selector={"matchLabels": {"dockerv6.io/zone": "a"}}),
    "web": policy("web"),
    "dmz": policy("dmz", selector={"names": ["dmz_default"]}),
}
RESOURCES = {
    "blog": network("blog"),
    "renamed": network("renamed", networkName="other_net"),
    "closed": network("closed", members={"allowLabel": False, "matchLabels": {NETWORK_LABEL: "closed", "tier": "web"}}),
    "other": network(
        "other",
        members={"matchLabels": {"dockerv6.io/tier": "front"}},
        publish={"ports": [{"port": 80, "containers": {"matchLabels": {"dockerv6.io/published": "blog"}}}]},
    ),
    "limited": network("limited", members={"allowedComposeProjects": ["shop", "forum"]}),
    "wide": network("wide", members={"allowedComposeProjects": [f"p{n}" for n in range(7)]}),
}
SHOP = foreign("shop", "fd99::/64", 1)


def ignored(*objects: Network | Container, observers: dict[str, list[str]] | None = None) -> tuple[str, ...]:
    networks = [each for each in objects if isinstance(each, Network)]
    containers = [each for each in objects if isinstance(each, Container)]
    inputs = LabelInputs(RESOURCES, POLICIES, assign_networks(POLICIES, networks, observers or {}), Identity())
    return tuple(ignored_labels(networks, containers, inputs))


def of_network(key: str, value: str = "web") -> str:
    """The message about a label of a Docker network; "": none, it has an effect."""
    return "".join(ignored(replace(SHOP, labels={key: value})))


def of_container(key: str, value: str = "blog", **others: str) -> str:
    return "".join(ignored(replace(running("web"), labels={key: value, **others})))


def test_labels_with_an_effect_and_those_of_others_are_not_reported() -> None:
    assert of_network(POLICY_LABEL) == ""
    assert of_container(NETWORK_LABEL) == ""
    assert of_container(NETWORK_LABEL, "limited", **{COMPOSE_PROJECT: "shop"}) == ""
    assert of_container(PROBE_LABEL, "/var/lib/dockerv6") == ""
    assert of_network("team") == of_network("dockerv6-test") == of_container("com.example/dockerv6.io") == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("webb", "no IPv6Policy webb is in effect; did you mean web?"),
        ("nothing-like-it", "no IPv6Policy nothing-like-it is in effect; create that resource, or remove the label"),
        ("", "a name can't be empty"),
        ("WEB", "'WEB' is not a valid name: "),
        (" web", "did you mean web?"),
        ("web,dmz", "'web,dmz' is not a name; write the name of one resource"),
        ("web dmz", "write the name of one resource"),
        ("dmz", "spec.selector of IPv6Policy dmz does not match the network; extend the selector"),
    ],
)
def test_a_policy_that_does_not_apply_is_reported_with_the_remedy(value: str, words: str) -> None:
    found = of_network(POLICY_LABEL, value)
    assert found.startswith(f"Docker network shop: label 'dockerv6.io/policy={value}' has no effect: ")
    assert words in found


def test_a_network_to_which_no_policy_applies_gets_a_message() -> None:
    chosen = {POLICY_LABEL: "web"}
    assert "the network has no IPv6 subnet" in "".join(ignored(replace(SHOP, ipam=(), labels=chosen)))
    assert "the driver macvlan" in "".join(ignored(replace(SHOP, driver="macvlan", labels=chosen)))
    by = ignored(replace(SHOP, labels=chosen), observers={"shop": ["blog"]})
    assert "IPv6Network/blog observes the network; remove the label, or that resource" in by[0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("blgo", "there is no IPv6Network blgo; did you mean blog?"),
        ("other_net", "'other_net' is the Docker network of IPv6Network renamed; did you mean renamed?"),
        ("blog,closed", "write the name of one resource"),
        ("closed", "IPv6Network closed does not allow it; set spec.members.allowLabel: true in that resource"),
        ("limited", "project shop or forum; start the container with Compose, or remove the label"),
        ("wide", "p0, p1, p2, p3, p4 or others"),
    ],
)
def test_a_network_whose_member_it_does_not_become_is_reported_with_the_remedy(value: str, words: str) -> None:
    found = of_container(NETWORK_LABEL, value)
    assert found.startswith(f"container web: label 'dockerv6.io/network={value}' has no effect: ")
    assert words in found


def test_a_project_that_is_not_allowed_is_named() -> None:
    found = of_container(NETWORK_LABEL, "limited", **{COMPOSE_PROJECT: "blog"})
    assert found.endswith("shop or forum; add 'blog' to spec.members.allowedComposeProjects of that resource")


@pytest.mark.parametrize(
    "key",
    [
        *("dockerv6.io/polcy", "dockerv6.io/Policy", "dockerv6.io.policy", "dockerv6/policy", "io.dockerv6.policy"),
        *("docker6.io/policy", "docker-v6.io/policy"),
    ],
)
def test_a_key_that_is_meant_for_dockerv6_has_a_suggestion_however_it_is_spelled(key: str) -> None:
    expected = "dockerv6 knows no such label; did you mean dockerv6.io/policy?"
    assert of_network(key) == f"Docker network shop: label '{key}=web' has no effect: {expected}"
    assert "remove it; the only label for this is dockerv6.io/network" in of_container("dockerv6.io/ports")


def test_a_label_of_the_other_kind_of_object_is_reported() -> None:
    assert "it is for containers; use dockerv6.io/policy for a network" in of_network(NETWORK_LABEL)
    assert "it is for Docker networks; use dockerv6.io/network for a container" in of_container(POLICY_LABEL)


def test_a_member_that_can_not_be_attached_is_reported_here_and_not_in_the_status_of_the_resource() -> None:
    label = {NETWORK_LABEL: "blog"}
    alone = replace(running("web"), labels=label, network_mode="host")
    (found,) = ignored(alone)
    assert found.endswith(
        "web (network_mode host) can't be attached to any network; remove the label, or change network_mode"
    )
    vpn = running("vpn")
    shared = replace(alone, network_mode=f"container:{vpn.id}")
    (found,) = ignored(shared, vpn)
    assert found.endswith(
        "shares the network of container vpn, which is not a member; set the label dockerv6.io/network=blog on vpn,"
        " or remove the label from web"
    )
    assert ignored(shared, replace(vpn, labels=label)) == ()
    there = ContainerEndpoint("1" * 64, "blog")
    assert ignored(shared, replace(vpn, endpoints=(there,))) == ()


def test_a_label_that_a_selector_has_is_one_with_an_effect() -> None:
    assert of_container("dockerv6.io/tier", "front") == of_container("dockerv6.io/published") == ""
    assert of_container("dockerv6.io/tier", "back") != ""
    assert of_network("dockerv6.io/zone", "a") == ""
    assert of_container(NETWORK_LABEL, "closed", tier="web") == ""  # by matchLabels
    assert of_container("dockerv6.io/zone", "a") != ""  # selects networks only
    assert of_network("dockerv6.io/tier", "front") != ""


def test_labels_that_dockerv6_sets_are_reported_only_where_it_did_not() -> None:
    assert ignored(live(desired())) == ()
    theirs = replace(
        live(desired()),
        labels={MANAGED_BY: "dockerv6", NAME_LABEL: "x", INSTALLATION_LABEL: "other", POLICY_LABEL: "x"},
    )
    assert ignored(theirs) == ()  # of another installation
    assert "only dockerv6 sets it" in of_network(MANAGED_BY, "dockerv6")
    assert "only dockerv6 sets it" in of_container(SPEC_HASH)
    forged = replace(SHOP, labels={MANAGED_BY: "dockerv6", NAME_LABEL: "x", POLICY_LABEL: "web"})
    (found,) = ignored(forged)
    assert "the network has an IPv6Network, which says what applies to it" in found


def test_labels_of_an_image_are_reported_as_such() -> None:
    image = replace(running("web"), labels={}, image_labels={NETWORK_LABEL: "blog"})
    (found,) = ignored(image)
    assert "it comes from the image; remove it from the image, and set it when you create the container" in found
    (found,) = ignored(replace(image, image_problem="No such image"))
    assert "the image can't be inspected, so the label may come from it (No such image)" in found
    assert claimed_networks([image]) == frozenset()
    (found,) = ignored(replace(image, image_labels={"dockerv6.io/tier": "front"}))  # a selector has it
    assert "it comes from the image" in found


def test_others_do_not_decide_how_long_a_message_is() -> None:
    many = [replace(foreign(f"n{number:03}", "fd99::/64", number), labels={POLICY_LABEL: "x"}) for number in range(200)]
    found = ignored(*many)
    assert (len(found), found[-1]) == (MAX_REPORTED + 1, MORE)
    assert len(of_network(POLICY_LABEL, "x" * 100_000)) < 500
    assert len(of_network("dockerv6.io/" + "x" * 100_000)) < 500
    assert of_network(POLICY_LABEL, "a\nb\x1b[31m").isprintable()


def test_only_labels_that_are_reported_are_compared_with_names(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = Mock(return_value=None)
    monkeypatch.setattr(labels, "closest_match", compared)
    of_resource = [replace(running(f"a{n}"), labels={NETWORK_LABEL: "blog"}, network_mode="none") for n in range(9)]
    misspelled = [replace(running(f"c{n}"), labels={NETWORK_LABEL: f"like-blog-{n}"}) for n in range(2000)]
    for _ in range(2):  # the second run knows the answers
        assert len(ignored(*of_resource, *misspelled)) == MAX_REPORTED + 1
    assert compared.call_count == MAX_REPORTED + 1 - len(of_resource)


def test_members_that_can_be_attached_are_not_searched_for_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Mock(return_value=True)
    monkeypatch.setattr(labels, "is_member", checked)
    assert ignored(*(replace(running(f"c{n}"), labels={NETWORK_LABEL: "blog"}) for n in range(500))) == ()
    assert checked.call_count == 500


def test_claims_name_the_resource_and_the_container() -> None:
    one, other = (replace(running(name), labels={NETWORK_LABEL: "blog"}) for name in ("a", "b"))
    assert claimed_networks([one, other, running("c")]) == {("blog", one.id), ("blog", other.id)}
