import pytest

from dockerv6.planning.host.sysctls import (
    FORWARDING,
    accept_ra,
    host_findings,
    proxy_ndp,
    restore_steps,
    sysctl_steps,
    unneeded_sysctls,
)
from dockerv6.planning.steps import (
    RestoreSysctl,
    SetSysctl,
)
from tests.unit.planning.scene import host

RA = accept_ra("eth0.100")


def test_a_host_that_forwards_needs_nothing() -> None:
    assert sysctl_steps(host()) == ()


def test_uplinks_are_guarded_before_forwarding_is_turned_on() -> None:
    steps = sysctl_steps(host(forwarding="0", accept_ra={"eth1": "1", "eth0.100": "1"}))
    assert [(s.name, s.value, s.prior) for s in steps] == [
        ("net/ipv6/conf/eth0.100/accept_ra", "2", "1"),
        ("net/ipv6/conf/eth1/accept_ra", "2", "1"),
        (FORWARDING, "1", "0"),
    ]


def test_uplinks_are_guarded_late_where_forwarding_is_on_already() -> None:
    (step,) = sysctl_steps(host(accept_ra={"eth0": "1"}))
    assert isinstance(step, SetSysctl)


def test_a_kernel_without_ipv6_is_reported_and_not_changed() -> None:
    assert sysctl_steps(host(forwarding=None)) == ()
    (finding,) = host_findings(host(forwarding=None))
    assert (finding.reason, finding.blocks) == ("HostNotReady", True)
    assert host_findings(host()) == ()


def test_forwarding_is_restored_before_its_guards() -> None:
    steps = restore_steps({RA: "1", FORWARDING: "0"}, {RA: "2", FORWARDING: "1"})
    assert [(s.name, s.value) for s in steps] == [(FORWARDING, "0"), (RA, "1")]
    assert all(isinstance(s, RestoreSysctl) for s in steps)


@pytest.mark.parametrize("now", [{FORWARDING: "0"}, {FORWARDING: None}, {FORWARDING: "2"}, {}])
def test_what_is_no_longer_as_we_set_it_is_left_alone(now: dict[str, str | None]) -> None:
    assert restore_steps({FORWARDING: "0"}, now) == ()


def test_what_was_so_before_is_left_alone() -> None:
    assert restore_steps({FORWARDING: "1"}, {FORWARDING: "1"}) == ()


def test_proxy_ndp_is_restored() -> None:
    (step,) = restore_steps({proxy_ndp("eth0.100"): "0"}, {proxy_ndp("eth0.100"): "1"})
    assert (step.name, step.value) == ("net/ipv6/conf/eth0.100/proxy_ndp", "0")
    assert restore_steps({proxy_ndp("eth0"): "1"}, {proxy_ndp("eth0"): "1"}) == ()


PRIORS = {FORWARDING: "0", RA: "1", proxy_ndp("eth0"): "0", proxy_ndp("eth1"): "0"}


def test_proxy_ndp_without_entries_is_unneeded_although_networks_exist() -> None:
    assert unneeded_sysctls(PRIORS, forwards=True, proxying={"eth0"}) == {proxy_ndp("eth1"): "0"}
    assert unneeded_sysctls(PRIORS, forwards=True, proxying=()) == {proxy_ndp("eth0"): "0", proxy_ndp("eth1"): "0"}


def test_without_networks_only_proxy_ndp_is_needed() -> None:
    assert unneeded_sysctls(PRIORS, forwards=False, proxying=()) == PRIORS
    assert proxy_ndp("eth0") not in unneeded_sysctls(PRIORS, forwards=False, proxying={"eth0"})
