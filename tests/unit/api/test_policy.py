"""Policies for networks that somebody else made."""

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


def test_a_selector_refuses_what_nothing_can_match() -> None:
    spec = {"selector": {"names": [" "], "prefixes": ["fc00::1/7"], "drivers": ["overlay"]}}
    assert fields(errors(document("IPv6Policy", spec))) == ["spec.selector.prefixes[0]", "spec.selector.drivers[0]"]
    assert fields(errors(document("IPv6Policy", {"selector": {"names": [" "]}}))) == ["spec.selector.names[0]"]


def test_the_blocks_are_those_of_a_network() -> None:
    spec = policy(
        {"egress": {"mode": "None"}, "publish": {"fromContainers": False}, "firewall": {"isolation": False}}
    ).spec
    assert (spec.egress.mode, spec.publish.from_containers, spec.firewall.isolation) == ("None", False, False)
