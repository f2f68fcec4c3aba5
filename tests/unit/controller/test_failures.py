from ipaddress import IPv6Network

import pytest

from dockerv6.controller.execute import LATER, StepFailed, failure_of
from dockerv6.dockerd.model import NetworkSpec
from dockerv6.dockerd.port import EngineConflict, EngineTooOld, EngineUnavailable
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.hostnet.port import HostNetDenied
from dockerv6.ipam.ledger import LedgerError
from dockerv6.planning.steps import BindSubnet, CreateNetwork, EnsureRules, RemoveNetwork, SetSysctl, Step
from dockerv6.reconciler.handler import TemporaryError

CREATE = CreateNetwork(NetworkSpec("blog"), "x")
REMOVE = RemoveNetwork("1", "blog", "x")
BIND = BindSubnet("blog", "default", IPv6Network("fd00::/64"), None, "x")
RULES = EnsureRules("blog", (), "x")
SYSCTL = SetSysctl("net.x", "1", "0", "x")


def failed(step: Step, cause: Exception) -> StepFailed:
    failure = StepFailed(step, cause)
    failure.__cause__ = cause
    return failure


@pytest.mark.parametrize(
    ("step", "cause", "reason"),
    [
        (CREATE, EngineUnavailable("x"), "EngineUnavailable"),
        (CREATE, EngineTooOld("x"), "EngineTooOld"),
        (CREATE, EngineConflict("x"), "SubnetOverlap"),
        (REMOVE, EngineConflict("x"), "ApplyFailed"),
        (RULES, FirewallUnavailable("x"), "FirewallUnavailable"),
        (RULES, FirewallRejected("x"), "ApplyFailed"),
        (SYSCTL, HostNetDenied("x"), "HostDenied"),
        (BIND, LedgerError("disk full"), "ApplyFailed"),
    ],
)
def test_the_reason_says_what_is_wrong(step: Step, cause: Exception, reason: str) -> None:
    found = failure_of(failed(step, cause))
    assert found.said is not None
    assert found.said.reason == reason
    assert str(cause) in found.said.message
    assert isinstance(found.error, TemporaryError)


def test_an_engine_that_is_away_is_tried_at_a_steady_pace_and_the_rest_with_backoff() -> None:
    assert failure_of(failed(CREATE, EngineUnavailable("x"))).retry == 5
    backoff = failure_of(failed(RULES, FirewallRejected("x")))
    assert (backoff.retry, backoff.error.delay) == (LATER, None)  # type: ignore[attr-defined]


def test_a_lost_race_is_nobodys_concern() -> None:
    found = failure_of(failed(BIND, TemporaryError("taken", delay=0.1)))
    assert (found.said, found.retry) == (None, 0.1)
