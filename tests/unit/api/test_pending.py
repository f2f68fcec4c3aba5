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
        ({"egress": {"mode": "None"}, "ndpProxy": {"enabled": True}}, ["spec.ndpProxy.enabled"]),
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
        {"publish": {"fromContainers": False, "hostAddress": "2001:db8::1"}},
        {"publish": {"ports": [{"port": 80, "containers": {"name": "web"}}]}},
        {"firewall": {"isolation": True, "ingress": [{}]}},
        {"members": {"matchLabels": {"a": "b"}}},
        {"ndpProxy": {"enabled": False}, "hosts": {"matchNames": []}},
        {"publish": {}, "firewall": {}, "members": {}, "hosts": {}},
    ],
    ids=str,
)
def test_asking_for_nothing_leaves_nothing_pending(spec: Spec) -> None:
    assert not not_yet_in_effect(network(spec))


def test_pools_that_follow_an_interface_wait() -> None:
    assert [path for path, _ in not_yet_in_effect(pool({"fromInterface": {"name": "eth0"}})).blocking] == [
        ("spec", "fromInterface")
    ]
    assert not not_yet_in_effect(pool())


def test_policies_wait_for_what_networks_wait_for() -> None:
    assert not not_yet_in_effect(policy())
    assert not not_yet_in_effect(policy({"publish": {"hostAddress": "2001:db8::1"}, "firewall": {"isolation": False}}))
    assert not_yet_in_effect(policy({"egress": {"mode": "Routed"}})).blocking
    proxying = not_yet_in_effect(policy({"egress": {"mode": "None"}, "ndpProxy": {"enabled": True}}))
    assert [dotted(path) for path, _ in proxying.additive] == ["spec.ndpProxy.enabled"]
    assert proxying.blocking == ()
