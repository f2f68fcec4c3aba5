from ipaddress import IPv6Network

import pytest

from dockerv6.controller.execute import LATER, StepFailed
from dockerv6.dockerd.model import NetworkSpec
from dockerv6.dockerd.port import EngineConflict, EngineTooOld, EngineUnavailable
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.hostnet.port import HostNetPermissionError
from dockerv6.ipam.ledger import LedgerError
from dockerv6.planning.steps import BindSubnet, CreateNetwork, EnsureRules, RemoveNetwork, SetSysctl, Step
from dockerv6.reconciler.handler import TemporaryError

CREATE = CreateNetwork(NetworkSpec("blog"), "x")
REMOVE = RemoveNetwork("1", "blog", "x")
BIND = BindSubnet("blog", "default", IPv6Network("fd00::/64"), None, "x")
RULES = EnsureRules("blog", (), "x")
SYSCTL = SetSysctl("net.x", "1", "0", "x")


@pytest.mark.parametrize(
    ("step", "cause", "reason"),
    [
        (CREATE, EngineUnavailable("x"), "EngineUnavailable"),
        (CREATE, EngineTooOld("x"), "EngineTooOld"),
        (CREATE, EngineConflict("x"), "SubnetOverlap"),
        (REMOVE, EngineConflict("x"), "ApplyFailed"),
        (RULES, FirewallUnavailable("x"), "FirewallUnavailable"),
        (RULES, FirewallRejected("x"), "ApplyFailed"),
        (SYSCTL, HostNetPermissionError("x"), "HostDenied"),
        (BIND, LedgerError("disk full"), "ApplyFailed"),
    ],
)
def test_the_reason_says_what_is_wrong(step: Step, cause: Exception, reason: str) -> None:
    failed = StepFailed(step, cause)
    assert failed.failure is not None
    assert failed.failure.reason == reason
    assert str(cause) in failed.failure.message
    assert failed.__cause__ is cause


def test_a_failure_is_retried_with_backoff_except_while_the_engine_is_unavailable() -> None:
    unavailable = StepFailed(CREATE, EngineUnavailable("x"))
    assert (unavailable.delay, unavailable.retry) == (5, 5)
    backoff = StepFailed(RULES, FirewallRejected("x"))
    assert (backoff.delay, backoff.retry) == (None, LATER)


def test_a_lost_race_is_retried_at_once_and_not_reported() -> None:
    lost = StepFailed(BIND, TemporaryError("taken", delay=0.1))
    assert lost.lost_race
    assert (lost.failure, lost.delay) == (None, 0.1)
