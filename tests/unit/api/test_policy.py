"""Policies for Docker networks that dockerv6 did not create."""

from ipaddress import IPv6Network

import pytest

from tests.unit.api.checks import document, errors, fields, policy


def test_a_selector_takes_names_labels_prefixes_and_drivers() -> None:
    selector = policy(
        {
            "selector": {
                "prefixes": ["fc00::/7"],
                "names": ["bridge", "docker_gwbridge"],
                "drivers": ["bridge"],
                "matchLabels": {"a": "b"},
            }
        }
    ).spec.selector
    assert selector.prefixes == (IPv6Network("fc00::/7"),)
    assert selector.names == ("bridge", "docker_gwbridge")
    assert selector.drivers == ("bridge",)
    assert selector.match_labels == {"a": "b"}


def test_a_selector_that_can_not_match_is_invalid() -> None:
    spec = {"selector": {"names": [" "], "prefixes": ["fc00::1/7"], "drivers": ["overlay"]}}
    assert fields(errors(document("IPv6Policy", spec))) == ["spec.selector.prefixes[0]", "spec.selector.drivers[0]"]
    for name in ("names", "excludeNames"):
        assert fields(errors(document("IPv6Policy", {"selector": {name: [" "]}}))) == [f"spec.selector.{name}[0]"]


@pytest.mark.parametrize("name", ["prefixes", "names", "excludeNames"])
def test_a_selector_has_at_most_1000_prefixes_and_names(name: str) -> None:
    several = [f"fd00:{number:x}::/48" for number in range(1001)]
    assert errors(document("IPv6Policy", {"selector": {name: several[:1000]}})) == ()
    (error,) = errors(document("IPv6Policy", {"selector": {name: several}}))
    assert (fields((error,)), error.message) == ([f"spec.selector.{name}"], "has 1001 items")
    assert error.remedy == "write at most 1000"


def test_a_policy_has_the_same_blocks_as_a_network() -> None:
    spec = policy(
        {"egress": {"mode": "None"}, "publish": {"fromContainers": False}, "firewall": {"isolation": False}}
    ).spec
    assert (spec.egress.mode, spec.publish.from_containers, spec.firewall.isolation) == ("None", False, False)
