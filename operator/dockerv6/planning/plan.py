"""The plan for one resource: steps and findings. ``dockerv6 plan`` prints the value that the daemon executes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.planning.steps import CreateNetwork, FieldValue, ForgetSubnet, ReleaseSubnet, RemoveNetwork, Step


class Change(StrEnum):
    """What happens to a resource as a whole, as the symbol that Terraform prints for it."""

    NONE = ""
    ADD = "+"
    CHANGE = "~"
    REPLACE = "-/+"
    REMOVE = "-"


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
    unknown: bool = False  # it may be harmless, or is not known yet: the condition becomes Unknown, not False
    waits: bool = False  # others end it, without a change by the user: Ready is Reconciling, not Stalled

    @property
    def prevents_ready(self) -> bool:
        """Whether the resource is not Ready because of it. All other findings are warnings."""
        return self.blocks or self.waits or not self.unknown


@dataclass(frozen=True, slots=True)
class Drift:
    """Something that others changed since it was applied. Its repair is one event and one count."""

    message: str  # what they changed
    condition: ConditionType  # of the steps that repair it

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one resource, in order, and why."""

    kind: str
    name: str
    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    drift: tuple[Drift, ...] = ()  # what differs from what was applied before

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps

    @property
    def blocked(self) -> Finding | None:
        """The first finding that keeps the plan from being executed."""
        return next((f for f in self.findings if f.blocks), None)

    @property
    def obstacles(self) -> tuple[Finding, ...]:
        """The findings because of which the resource is not Ready, also after the steps: a change that has to wait."""
        return tuple(f for f in self.findings if f.prevents_ready)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The other findings. A resource that is suspended needs no attention."""
        return tuple(f for f in self.findings if not f.prevents_ready and f.reason != Reason.SUSPENDED)

    @property
    def suspended(self) -> bool:
        """Whether nothing is done because the resource is suspended."""
        return any(f.reason == Reason.SUSPENDED for f in self.findings)

    @property
    def change(self) -> Change:
        """What the steps together do to the resource."""
        created = any(isinstance(step, CreateNetwork) for step in self.steps)
        removed = any(isinstance(step, RemoveNetwork) for step in self.steps)
        if created:
            return Change.REPLACE if removed else Change.ADD
        if removed or any(isinstance(step, ReleaseSubnet | ForgetSubnet) for step in self.steps):
            return Change.REMOVE
        return Change.CHANGE if self.steps else Change.NONE

    @property
    def disconnected(self) -> int:
        """How many running containers lose the network, if only for a moment."""
        return sum(step.disconnects for step in self.steps)

    @property
    def disruption(self) -> Disruption:
        """The label that ``dockerv6 plan`` prints."""
        if self.disconnected:
            return Disruption.DISCONNECTS
        return Disruption.RECREATE if self.change is Change.REPLACE else Disruption.NONE

    def as_mapping(self) -> dict[str, object]:
        """The plan for ``-o json``; stable, see docs/cli.md."""
        return {
            "kind": self.kind,
            "name": self.name,
            "change": self.change.name.capitalize(),
            "disruption": str(self.disruption),
            "disconnects": self.disconnected,
            "changes": field_changes(self.steps),
            "drift": list(map(str, self.drift)),
            "steps": [
                {"action": step.action, "description": step.describe(), "reason": step.reason} for step in self.steps
            ],
            "findings": [
                {
                    "condition": str(f.condition),
                    "reason": str(f.reason),
                    "message": f.message,
                    "blocks": f.prevents_ready,
                }
                for f in self.findings
            ],
        }


def field_changes(steps: Iterable[Step]) -> list[Mapping[str, FieldValue]]:
    """The fields that differ, with their values before and after, in the order of the steps.

    A field that has the same value before and after, such as a container that is attached again, is no change.
    """
    before: dict[str, FieldValue] = {}
    after: dict[str, FieldValue] = {}
    for step in steps:
        for field, old, new in step.fields():
            before[field] = old if before.get(field) is None else before[field]
            after[field] = new if new is not None else after.get(field)
    return [
        {"field": field, "before": before[field], "after": after[field]}
        for field in before
        if before[field] != after[field]
    ]
