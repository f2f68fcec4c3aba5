"""The plan for one resource: steps and findings. ``dockerv6 plan`` prints the value that the daemon executes."""

from dataclasses import dataclass
from enum import StrEnum

from dockerv6.planning.steps import CreateNetwork, RemoveNetwork, Step


class Disruption(StrEnum):
    """What the execution of a plan does to running containers."""

    NONE = "None"
    RECREATE = "Recreate"  # the network is removed and created again; no running container is attached to it
    DISCONNECTS = "Disconnects"  # running containers lose the network for a moment


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know. It becomes a condition."""

    condition: str  # a condition type of `api.conditions`
    reason: str
    message: str  # the cause, then the remedy
    blocks: bool = True  # nothing is done for the resource until it is resolved
    retry: float | None = None  # seconds until the next try; None: only a change can help
    unknown: bool = False  # it may be harmless: the condition becomes Unknown, not False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one resource, in order, and why."""

    kind: str
    name: str
    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    drift: tuple[str, ...] = ()  # what differs from what was applied before, one sentence each

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps

    @property
    def blocked(self) -> Finding | None:
        """The first finding that keeps the plan from being executed."""
        return next((f for f in self.findings if f.blocks), None)

    @property
    def disconnected(self) -> int:
        """How many running containers lose the network, if only for a moment."""
        return sum(step.disconnects for step in self.steps)

    @property
    def disruption(self) -> Disruption:
        """The label that ``dockerv6 plan`` prints."""
        if self.disconnected:
            return Disruption.DISCONNECTS
        kinds = {type(step) for step in self.steps}
        return Disruption.RECREATE if {RemoveNetwork, CreateNetwork} <= kinds else Disruption.NONE

    def as_mapping(self) -> dict[str, object]:
        """The plan for ``-o json``; stable, see docs/cli.md."""
        return {
            "kind": self.kind,
            "name": self.name,
            "disruption": str(self.disruption),
            "disconnects": self.disconnected,
            "drift": list(self.drift),
            "steps": [
                {"action": step.action, "description": step.describe(), "reason": step.reason} for step in self.steps
            ],
            "findings": [
                {"condition": str(f.condition), "reason": str(f.reason), "message": f.message, "blocks": f.blocks}
                for f in self.findings
            ],
        }
