"""Policies for Docker networks that dockerv6 did not create."""

from ipaddress import IPv6Network

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
    assert fields(errors(document("IPv6Policy", {"selector": {"names": [" "]}}))) == ["spec.selector.names[0]"]


def test_a_policy_has_the_same_blocks_as_a_network() -> None:
    spec = policy(
        {"egress": {"mode": "None"}, "publish": {"fromContainers": False}, "firewall": {"isolation": False}}
    ).spec
    assert (spec.egress.mode, spec.publish.from_containers, spec.firewall.isolation) == ("None", False, False)
