"""``dockerv6 wait``: wait for a condition or a value of resources, for their creation or deletion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from dockerv6.api.conditions import ConditionType, warnings
from dockerv6.api.errors import did_you_mean, either_of
from dockerv6.api.kinds import KINDS
from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import DURATION, ExampleCommand, clock_of, setting_option
from dockerv6.cli.printers.jsonpath import parse_path, value_text
from dockerv6.cli.printers.objects import document
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import (
    ResourceKey,
    ResourceRef,
    complete,
    full_name,
    parse_kind,
    parse_references,
    short_name,
)
from dockerv6.cli.state import BlockingClock, StateDirectory, condition_of, conditions_of, problem_summary
from dockerv6.lib.statefile import StateFileMissingError
from dockerv6.store.model import StoredObject

Objects = Mapping[ResourceKey, StoredObject]

STATUSES = ("True", "False", "Unknown")


CREATE, DELETE = "create", "delete"
CONDITION, VALUE = "condition", "jsonpath"

FORMS = "condition=TYPE[=STATUS], jsonpath={PATH}[=VALUE], create or delete"


@dataclass(frozen=True, slots=True)
class AwaitedState:
    """What is awaited: the status of a condition, a value at a JSONPath, that a resource exists, or its deletion."""

    what: str
    subject: str = ""  # the type of the condition, or the path
    wanted: str | None = None  # its status or value; None: any value

    @property
    def deletion(self) -> bool:
        """Whether the deletion is awaited."""
        return self.what == DELETE

    @property
    def reached(self) -> str:
        """What is printed for a resource that meets it, as in kubectl."""
        return {DELETE: "deleted", CREATE: "created"}.get(self.what, "condition met")

    def met(self, stored: StoredObject | None) -> bool:
        """Whether the state is reached. A status of an earlier version of the resource does not count."""
        if self.what in (CREATE, DELETE):
            return (stored is None) == self.deletion
        if stored is None or not self._current(stored):
            return False
        if self.what == VALUE:
            found = self._values(stored)
            return bool(found) and (self.wanted is None or [value_text(each) for each in found] == [self.wanted])
        status = str(condition_of(stored, self.subject).get("status", ""))
        return status.casefold() == str(self.wanted).casefold() and not (self.readiness and _outdated(stored))

    def _current(self, stored: StoredObject) -> bool:
        """Whether what is awaited belongs to the newest version: what is not in the status always does."""
        of_status = self.what == CONDITION or "status" in self.subject
        return not of_status or stored.status.get("observedGeneration") == stored.generation

    def _values(self, stored: StoredObject) -> list[object]:
        return parse_path(self.subject).find(document(stored))

    @property
    def readiness(self) -> bool:
        """Whether Ready=True is awaited."""
        awaited = (self.what, self.subject.casefold(), str(self.wanted).casefold())
        return awaited == (CONDITION, "ready", "true")

    def describe_actual(self, stored: StoredObject | None) -> str:
        """The actual state, for the error message."""
        if stored is None:
            return "it does not exist"
        if self.deletion:
            deletion = "it is being deleted" if stored.deleting_since is not None else "it is not being deleted"
            return f"{deletion}; {_condition_text(stored, ConditionType.READY)}"
        if self.readiness and _outdated(stored):
            return _outdated(stored)
        if not self._current(stored):
            return f"its newest version (generation {stored.generation}) is not reconciled yet"
        if self.what == VALUE:
            found = " ".join(map(value_text, self._values(stored)))
            return f"{self.subject} is {plain(found)!r}" if found else f"it has nothing at {self.subject}"
        return _condition_text(stored, self.subject)

    def __str__(self) -> str:
        if self.what == CONDITION:
            return f"condition {self.subject}={self.wanted}"
        if self.what == VALUE:
            return self.subject if self.wanted is None else f"{self.subject}={self.wanted}"
        return {DELETE: "deletion", CREATE: "creation"}[self.what]


def _outdated(stored: StoredObject) -> str:
    """Why a resource does not count as Ready whatever its status: its file was changed or deleted."""
    if stored.deleting_since is not None:
        return f"it is being deleted; {_condition_text(stored, ConditionType.READY)}"
    if stored.problem:
        return f"{problem_summary(stored)}: {plain(stored.problem_message)}"
    return ""


def _condition_text(stored: StoredObject, type_: str) -> str:
    found = condition_of(stored, type_)
    if not found:
        return f"it has no condition {type_}"
    return plain(f"{found.get('type')}={found.get('status')} ({found.get('reason')}): {found.get('message')}")


def parse_awaited(text: str) -> AwaitedState:
    """Parse what ``--for`` has: ``condition=TYPE[=STATUS]``, ``jsonpath=PATH[=VALUE]``, ``create`` or ``delete``.

    Raises:
        ValueError: it is none of these, or there is no such condition or status.
    """
    if text.casefold() in (CREATE, DELETE):
        return AwaitedState(text.casefold())
    what, _, rest = text.partition("=")
    if what.casefold() == VALUE and rest:
        path, wanted = _path_and_value(rest)
        parse_path(path)
        return AwaitedState(VALUE, path, wanted)
    given, _, status = rest.partition("=")
    if what.casefold() != CONDITION or not given:
        raise ValueError(f"{text!r} is none of {FORMS}")
    type_ = next((known for known in ConditionType if known.casefold() == given.casefold()), None)
    if type_ is None:
        raise ValueError(f"there is no condition {given!r}; {did_you_mean(given, ConditionType)}")
    wanted_status = next((known for known in STATUSES if known.casefold() == (status or "True").casefold()), None)
    if wanted_status is None:
        raise ValueError(f"{status!r} is not a status of a condition; use {either_of(STATUSES)}")
    return AwaitedState(CONDITION, str(type_), wanted_status)


def _path_and_value(text: str) -> tuple[str, str | None]:
    """The path, and the value after the equals sign that follows it: ``=`` and ``==`` may also be within a filter."""
    depth = 0
    for index, character in enumerate(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(character, 0)
        if character == "=" and depth == 0:
            return text[:index], text[index + 1 :].strip("'\"")
    return text, None


if TYPE_CHECKING:
    _AwaitedParam = click.ParamType[AwaitedState]
else:
    _AwaitedParam = click.ParamType  # which is not generic in every version of click


class AwaitedType(_AwaitedParam):
    """click's type of ``--for``."""

    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> AwaitedState:  # noqa: ANN401 - click's signature
        """Parse the value. What is wrong is reported as wrong usage."""
        if isinstance(value, AwaitedState):
            return value
        try:
            return parse_awaited(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's signature
        """The forms, and every condition."""
        forms = (*(f"{CONDITION}={type_}" for type_ in ConditionType), f"{VALUE}=", CREATE, DELETE)
        return [CompletionItem(form) for form in forms if form.startswith(incomplete)]


@click.command(
    "wait",
    cls=ExampleCommand,
    short_help="Wait for a state of resources.",
    examples=(
        "dockerv6 wait ipv6network/blog",
        "dockerv6 wait v6net/blog v6net/shop --for=condition=Ready --timeout=2m",
        "dockerv6 wait v6net/blog --for=jsonpath='{.status.containers}'=2",
        "dockerv6 wait v6net/blog --for=delete",
        "dockerv6 wait v6net --all",
    ),
)
@click.argument("wanted", metavar="KIND/NAME...", nargs=-1, shell_complete=complete)
@click.option(
    "--for",
    "awaiting",
    type=AwaitedType(),
    metavar="CONDITION",
    default="condition=Ready",
    show_default=True,
    help="What to wait for: condition=TYPE[=True|False|Unknown], jsonpath={PATH}[=VALUE], create or delete.",
)
@click.option(
    "--timeout",
    type=DURATION,
    metavar="DURATION",
    default="30s",
    show_default=True,
    help="Maximum time to wait. 0 checks once.",
)
@click.option("--all", "every", is_flag=True, help="Wait for all resources of the kinds given, or of all kinds.")
@setting_option("state_dir")
@without_namespaces
@click.pass_context
def command(
    ctx: click.Context, *, wanted: tuple[str, ...], awaiting: AwaitedState, timeout: float, every: bool, state_dir: str
) -> None:
    """Wait for a condition or another state of resources. The exit code is 1 on timeout, 2 for an unknown condition.

    A condition or a field of the status counts only while a daemon runs, and if it belongs to the newest accepted
    version of the resource. A resource that does not exist yet is waited for as well, because the daemon reads a file a
    moment after it was written.
    """
    references = _references(wanted, every=every)
    state = StateDirectory(Path(state_dir))
    for key, stored in wait_for(state, clock_of(ctx), references, awaiting, timeout).items():
        click.echo(f"{full_name(*key)} {awaiting.reached}")
        _warn(stored)


def wait_for(
    state: StateDirectory,
    clock: BlockingClock,
    references: tuple[ResourceRef, ...],
    awaiting: AwaitedState,
    timeout: float | None,
    look: Callable[[Mapping[ResourceKey, StoredObject]], None] = lambda _: None,
) -> Mapping[ResourceKey, StoredObject | None]:
    """Wait until all resources have reached a state. Returns them.

    Args:
        state: of the daemon.
        clock: for the time limit.
        references: the resources.
        awaiting: the state.
        timeout: seconds to wait at most; None: as long as it takes.
        look: called now and then with those that exist and have not reached it; may raise to end the wait.

    Raises:
        click.ClickException: the time is over; the message says what each of the others is like.
    """
    awaited: list[ResourceKey] = []
    present: Objects = {}
    daemon: int | None = None
    for present in state.watch(
        _reader(state, awaiting), clock, until=None if timeout is None else clock.monotonic() + timeout
    ):
        awaited = _keys(references, present, awaited if awaiting.deletion else [])
        daemon = state.daemon()
        current = daemon is not None or awaiting.deletion  # without a daemon, the stored state may be outdated
        if (awaited or awaiting.deletion) and current and all(awaiting.met(present.get(key)) for key in awaited):
            return {key: present.get(key) for key in awaited}
        look({key: present[key] for key in awaited if key in present and not awaiting.met(present[key])})
    left = [key for key in awaited if not awaiting.met(present.get(key))]
    reasons = [f"{short_name(*key)}: {awaiting.describe_actual(present.get(key))}" for key in left]
    if not reasons:
        reasons = [state.staleness(clock.now()) if awaited else "no resource exists yet"]
    stopped = "" if daemon is not None or not left else f" (no dockerv6 is running with {state.path})"
    raise click.ClickException(f"timed out waiting for {awaiting}{stopped}: {'; '.join(reasons)}")


def _warn(stored: StoredObject | None) -> None:
    """Print what a person should look at although the condition is met."""
    if stored is None:
        return
    for warning in warnings(conditions_of(stored)):
        click.echo(f"Warning: {short_name(stored.kind, stored.name)}: {plain(warning)}", err=True)


def _references(wanted: tuple[str, ...], *, every: bool) -> tuple[ResourceRef, ...]:
    if every:
        return tuple(ResourceRef(parse_kind(word)) for word in wanted) or tuple(ResourceRef(info) for info in KINDS)
    if not wanted:
        raise click.UsageError("select resources with KIND/NAME or --all")
    references = parse_references(wanted)
    if any(ref.name is None for ref in references):
        raise click.UsageError("select resources with KIND/NAME, or all of a kind with --all")
    return references


def _reader(state: StateDirectory, awaiting: AwaitedState) -> Callable[[], Objects]:
    """A function that reads all resources. A missing state file means none, except when a deletion is awaited.

    A misspelled state directory must not look like a completed deletion.
    """

    def read() -> Objects:
        try:
            return {(stored.kind, stored.name): stored for stored in state.objects()}
        except StateFileMissingError:
            if awaiting.deletion:
                raise
            return {}

    return read


def _keys(references: tuple[ResourceRef, ...], present: Objects, before: list[ResourceKey]) -> list[ResourceKey]:
    """The resources to wait for: named ones, of whole kinds the present ones, and those from before."""
    keys = dict.fromkeys(before)
    for ref in references:
        names = [ref.name] if ref.name is not None else [n for k, n in present if k == ref.info.kind]
        keys |= dict.fromkeys((ref.info.kind, name) for name in names)
    return list(keys)
