"""What is asked for and not yet in effect is said; what is not asked for is not."""

import pytest

from dockerv6.api.errors import dotted
from dockerv6.api.pending import not_yet_in_effect
from tests.unit.api.checks import Spec, network, policy, pool


@pytest.mark.parametrize(
    ("spec", "where"),
    [
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
    "spec",
    [
        {},
        {"driver": "bridge", "egress": {"mode": "Masquerade", "interfaces": ["eth0"], "exclude": ["fd00::/8"]}},
        {"driver": "macvlan", "options": {"parent": "eth0"}},
        {"driver": "ipvlan", "internal": True},
        {"egress": {"mode": "SNAT", "snatAddress": "2001:db8::1"}},
        {"egress": {"mode": "PrefixTranslation", "prefix": "2001:db8::/64"}},
        {"egress": {"mode": "Routed"}, "ndpProxy": {"enabled": True}},
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


def test_pools_and_policies_wait_for_nothing() -> None:
    assert not not_yet_in_effect(pool({"fromInterface": {"name": "eth0"}}))
    assert not not_yet_in_effect(policy({"egress": {"mode": "Routed"}, "ndpProxy": {"enabled": True}}))
