"""What is asked for and not yet in effect is said; what is not asked for is not."""

import pytest

from dockerv6.api.errors import dotted
from dockerv6.api.pending import not_yet_in_effect
from tests.unit.api.checks import Spec, network, policy, pool


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"driver": "macvlan"}, ["spec.driver"]),
        ({"driver": "ipvlan"}, ["spec.driver"]),
        ({"egress": {"mode": "SNAT", "snatAddress": "2001:db8::1"}}, ["spec.egress.mode"]),
        ({"egress": {"mode": "PrefixTranslation", "prefix": "2001:db8::/64"}}, ["spec.egress.mode"]),
        ({"egress": {"mode": "Routed"}}, ["spec.egress.mode"]),
        ({"hosts": {"matchNames": ["web"]}}, ["spec.hosts.matchNames"]),
        ({"hosts": {"matchLabels": {"a": "b"}}}, ["spec.hosts.matchLabels"]),
    ],
    ids=str,
)
def test_half_a_job_would_be_wrong(spec: Spec, where: list[str]) -> None:
    pending = not_yet_in_effect(network(spec))
    assert [dotted(path) for path, _ in pending.blocking] == where
    assert pending.additive == ()
    assert all(why for _, why in pending.blocking)


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"publish": {"fromContainers": True}}, ["spec.publish.fromContainers"]),
        ({"publish": {"hostAddress": "2001:db8::1"}}, ["spec.publish.hostAddress"]),
        ({"publish": {"ports": [{"port": 80, "containers": {"name": "web"}}]}}, ["spec.publish.ports"]),
        ({"firewall": {"isolation": True, "ingress": [{}]}}, ["spec.firewall.isolation", "spec.firewall.ingress"]),
        ({"egress": {"mode": "None"}, "ndpProxy": {"enabled": True}}, ["spec.ndpProxy.enabled"]),
        ({"members": {"matchLabels": {"a": "b"}}}, ["spec.members.matchLabels"]),
    ],
    ids=str,
)
def test_the_rest_works_without_it(spec: Spec, where: list[str]) -> None:
    pending = not_yet_in_effect(network(spec))
    assert [dotted(path) for path, _ in pending.additive] == where
    assert pending.blocking == ()
    assert pending


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"driver": "bridge", "egress": {"mode": "Masquerade", "interfaces": ["eth0"], "exclude": ["fd00::/8"]}},
        {"egress": {"mode": "None"}},
        {"publish": {"fromContainers": False, "ports": []}},
        {"firewall": {"isolation": False, "ingress": []}},
        {"ndpProxy": {"enabled": False}, "members": {"matchLabels": {}}, "hosts": {"matchNames": []}},
        {"publish": {}, "firewall": {}, "members": {}, "hosts": {}},
    ],
    ids=str,
)
def test_asking_for_nothing_leaves_nothing_pending(spec: Spec) -> None:
    assert not not_yet_in_effect(network(spec))


def test_pools_that_follow_an_interface_and_all_policies_wait() -> None:
    assert [path for path, _ in not_yet_in_effect(pool({"fromInterface": {"name": "eth0"}})).blocking] == [
        ("spec", "fromInterface")
    ]
    assert not not_yet_in_effect(pool())
    assert not_yet_in_effect(policy()).blocking
