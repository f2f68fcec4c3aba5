"""A plan in a file: what `dockerv6 plan --out` writes, and `dockerv6 apply FILE` compares and approves steps with.

The file is never executed: the plan is made again, and must be the one in the file. A file has no secrets: steps name
networks, containers, prefixes and rules.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv6Interface, IPv6Network

from dockerv6.api.kinds import API_VERSION
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import KeepPoolPrefix, Step

KIND = "SavedPlan"

KNOWN_AFTER_APPLY = "(known after apply)"
"""Terraform's text for a value that does not exist yet."""

_ADDRESS = re.compile(r"[0-9a-f]*:[0-9a-f:]*(/[0-9]+)?")


class PlanRefused(Exception):  # noqa: N818 - as Terraform's "stale plan"
    """A plan file is not for this host, this version or this time. The message has the remedy.

    Attributes:
        difference: what was to be done (-) and what is to be done now (+), in lines.
    """

    def __init__(self, message: str, difference: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.difference = difference


class StepNotApproved(Exception):  # noqa: N818 - same
    """A step became necessary that is not in the plan file."""


@dataclass(frozen=True, slots=True)
class PlanOrigin:
    """Where a plan was made, and where it may be applied."""

    version: str  # of dockerv6
    installation: str  # id of the machine, state directory and instance
    instance: str
    host: str  # name, for messages


@dataclass(frozen=True, slots=True)
class SavedStep:
    """A step as it was planned."""

    owner: str  # "Kind/name"
    action: str  # see `Step.action`
    line: str  # the symbol and the sentence

    def __str__(self) -> str:
        return f"{self.owner}: {self.line}"

    @classmethod
    def decode(cls, value: object) -> "SavedStep":
        """From JSON. A text is a step of an earlier format: such a plan is refused by its version, or as stale.

        Raises:
            TypeError: it is no step.
        """
        return cls("", "", value) if isinstance(value, str) else cls(**dict(value))  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """The steps of all resources, and where they were planned."""

    origin: PlanOrigin
    steps: tuple[SavedStep, ...]

    @classmethod
    def of(cls, plans: Sequence[Plan], origin: PlanOrigin) -> "SavedPlan":
        """From plans. Addresses in prefixes that are generated at random are not known yet."""
        known = known_before(plans)
        return cls(
            origin,
            tuple(
                SavedStep(f"{plan.kind}/{plan.name}", step.action, known(_line(step)))
                for plan in plans
                for step in plan.steps
            ),
        )

    def encode(self) -> str:
        """As JSON text."""
        return json.dumps({"apiVersion": API_VERSION, "kind": KIND, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def decode(cls, text: str, name: str) -> "SavedPlan":
        """The inverse of `encode`.

        Raises:
            PlanRefused: the text is no plan.
        """
        try:
            content = json.loads(text)
            kind = content["apiVersion"], content["kind"]
            origin, steps = PlanOrigin(**content["origin"]), tuple(map(SavedStep.decode, content["steps"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            kind, origin, steps = None, PlanOrigin("", "", "", ""), ()
        values = [*asdict(origin).values(), *(value for step in steps for value in asdict(step).values())]
        if kind != (API_VERSION, KIND) or not all(isinstance(value, str) for value in values):
            raise PlanRefused(f"{name} is not a plan; make one with `dockerv6 plan --out FILE`")
        return cls(origin, steps)

    def check(self, now: "SavedPlan") -> None:
        """Compare with the plan that is made now.

        Raises:
            PlanRefused: it is of another place, or the steps differ. The message has the differences, one per line.
        """
        saved, here = self.origin, now.origin
        again = "make the plan again with `dockerv6 plan --out FILE`"
        if saved.instance != here.instance:
            other = f"--instance {saved.instance}"
            raise PlanRefused(
                f"the plan is for the instance {saved.instance}, not {here.instance}; use {other}, or {again}"
            )
        if saved.installation != here.installation:
            made = f"the plan was made on host {saved.host}, or with another state directory"
            raise PlanRefused(f"{made}; {again} on {here.host}")
        if saved.version != here.version:
            raise PlanRefused(f"the plan was made by dockerv6 {saved.version}, and this is {here.version}; {again}")
        if self.steps != now.steps:
            from difflib import unified_diff  # noqa: PLC0415 - only for a plan that is refused

            planned, current = ([*map(str, each.steps)] for each in (self, now))
            lines = unified_diff(planned, current, "in the plan", "now", n=0, lineterm="")
            shown = tuple(line for line in lines if not line.startswith("@@"))
            raise PlanRefused(f"the plan is stale: different changes are needed now; {again}", shown)

    def approval(self) -> Callable[[str, Step], None]:
        """A function that raises `StepNotApproved` for a step of an owner ("Kind/name") that is not in the plan.

        Of a step that is committed for all, such as the firewall's, the plan approves that it is done. A step of the
        host itself, such as forwarding, is in the plan of each resource that needs it.

        Once a step that detaches a container or removes a network was approved, so is every step that brings the
        owner's network and containers back: with other values too, such as another IPv4 subnet if the previous one was
        taken meanwhile. Otherwise a failure in the middle of a recreation would leave the containers without a network.
        """
        lines = {step.line for step in self.steps}
        of_owners = {(step.owner, step.line) for step in self.steps}
        actions = {step.action for step in self.steps}
        generated: list[IPv6Network] = []
        cut_off: set[str] = set()  # owners

        def check(owner: str, step: Step) -> None:
            if isinstance(step, KeepPoolPrefix) and _masked(_line(step), [step.prefix]) in lines:
                generated.append(step.prefix)
                return
            if (step.committed_for_all and step.action in actions) or (step.restores and owner in cut_off):
                return
            own = {_line(step), _masked(_line(step), generated)}
            if not (own & lines if owner.startswith("Host/") else {(owner, line) for line in own} & of_owners):
                raise StepNotApproved(f"it is not in the plan file ({step.reason}); make a new plan for what is left")
            if step.cuts_off:
                cut_off.add(owner)

        return check


def known_before(plans: Iterable[Plan]) -> Callable[[str], str]:
    """A function that replaces addresses in prefixes which are generated at random when the plans are executed."""
    generated = [step.prefix for plan in plans for step in plan.steps if isinstance(step, KeepPoolPrefix)]
    return lambda text: _masked(text, generated)


def _masked(text: str, generated: Sequence[IPv6Network]) -> str:
    def shown(match: re.Match[str]) -> str:
        try:
            address = IPv6Interface(match[0]).ip
        except ValueError:
            return match[0]
        return KNOWN_AFTER_APPLY if any(address in prefix for prefix in generated) else match[0]

    return _ADDRESS.sub(shown, text) if generated else text


def _line(step: Step) -> str:
    return f"{step.symbol} {step.describe()}"
