"""What a failed step means: which condition says it, and when it is tried again."""

from dataclasses import dataclass

from dockerv6.api.conditions import Reason
from dockerv6.controller.execute import StepFailed
from dockerv6.dockerd.port import EngineConflict, EngineTooOld, EngineUnavailable
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.hostnet.port import HostNetDenied
from dockerv6.planning.findings import ENGINE_RETRY
from dockerv6.planning.status import Failure
from dockerv6.planning.steps import BindSubnet, CreateNetwork, KeepPoolPrefix
from dockerv6.reconciler.errors import ReconcileError, TemporaryError

LATER = 30.0
"""Seconds that a status names as the next try where it is really a backoff that grows."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """What follows from a failed step.

    ``said`` is None for a lost race, which is run again at once and is nobody's concern.
    """

    error: ReconcileError
    said: Failure | None
    retry: float | None


def failure_of(failed: StepFailed) -> Consequence:
    """Read the error behind a failed step."""
    cause = failed.__cause__
    if isinstance(cause, TemporaryError) and isinstance(failed.step, BindSubnet | KeepPoolPrefix):
        return Consequence(cause, None, cause.delay)
    reason, delay = _reason(failed, cause)
    error = TemporaryError(str(failed), delay=delay)
    return Consequence(error, Failure(failed.step, reason, str(failed)), LATER if delay is None else delay)


def _reason(failed: StepFailed, cause: BaseException | None) -> tuple[Reason, float | None]:
    """The stable reason, and the delay of the next try; None: exponential backoff."""
    match cause:
        case EngineUnavailable():
            return Reason.ENGINE_UNAVAILABLE, ENGINE_RETRY
        case EngineTooOld():
            return Reason.ENGINE_TOO_OLD, None
        case EngineConflict() if isinstance(failed.step, CreateNetwork):
            return Reason.SUBNET_OVERLAP, None
        case FirewallUnavailable():
            return Reason.FIREWALL_UNAVAILABLE, None
        case HostNetDenied():
            return Reason.HOST_DENIED, None
        case _:
            return Reason.APPLY_FAILED, None
