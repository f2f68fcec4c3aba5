"""``dockerv6 wait``: wait for a condition of resources, or for their deletion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from dockerv6.api.conditions import ConditionType, warnings
from dockerv6.api.kinds import KINDS
from dockerv6.cli.options import DURATION, ExampleCommand, click_type, clock_of, setting_option
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import ResourceRef, complete, full_name, parse_kind, parse_references, short_name
from dockerv6.cli.state import StateDirectory, condition_of, conditions_of, problem_summary
from dockerv6.lib.statefile import StateFileMissingError
from dockerv6.store.model import StoredObject

Key = tuple[str, str]
Objects = Mapping[Key, StoredObject]


@dataclass(frozen=True, slots=True)
class AwaitedState:
    """The awaited status of a condition. Without a type, the deletion of the resource is awaited."""

    type: str = ""
    status: str = "True"

    @property
    def deletion(self) -> bool:
        """Whether the deletion is awaited."""
        return not self.type

    def met(self, stored: StoredObject | None) -> bool:
        """Whether the state is reached. A status of an earlier version of the resource does not count."""
        if self.deletion:
            return stored is None
        if stored is None or stored.status.get("observedGeneration") != stored.generation:
            return False
        status = str(condition_of(stored, self.type).get("status", ""))
        return status.casefold() == self.status.casefold() and not (self.readiness and _outdated(stored))

    @property
    def readiness(self) -> bool:
        """Whether Ready=True is awaited."""
        return (self.type.casefold(), self.status.casefold()) == ("ready", "true")

    def describe_actual(self, stored: StoredObject | None) -> str:
        """The actual state, for the error message."""
        if stored is None:
            return "it does not exist"
        if self.deletion:
            deletion = "it is being deleted" if stored.deleting_since is not None else "it is not being deleted"
            return f"{deletion}; {_condition_text(stored, ConditionType.READY)}"
        if self.readiness and _outdated(stored):
            return _outdated(stored)
        if stored.status.get("observedGeneration") != stored.generation:
            return f"its newest version (generation {stored.generation}) is not reconciled yet"
        return _condition_text(stored, self.type)

    def __str__(self) -> str:
        return "deletion" if self.deletion else f"condition {self.type}={self.status}"


def _outdated(stored: StoredObject) -> str:
    """Why a resource does not count as Ready whatever its status: its file was changed or deleted."""
    if stored.deleting_since is not None:
        return f"it is being deleted; {_condition_text(stored, ConditionType.READY)}"
    if stored.problem:
        return f"{problem_summary(stored)}: {plain(stored.problem)}"
    return ""


def _condition_text(stored: StoredObject, type_: str) -> str:
    found = condition_of(stored, type_)
    if not found:
        return f"it has no condition {type_}"
    return plain(f"{found.get('type')}={found.get('status')} ({found.get('reason')}): {found.get('message')}")


def parse_awaited(text: str) -> AwaitedState:
    """Parse ``condition=TYPE``, ``condition=TYPE=STATUS`` or ``delete``."""
    if text == "delete":
        return AwaitedState()
    what, _, rest = text.partition("=")
    type_, _, status = rest.partition("=")
    if what != "condition" or not type_:
        raise ValueError(f"{text!r} is neither condition=TYPE, condition=TYPE=STATUS nor delete")
    return AwaitedState(type_, status or "True")


@click.command(
    "wait",
    cls=ExampleCommand,
    short_help="Wait for a condition of resources.",
    examples=(
        "dockerv6 wait ipv6network/blog",
        "dockerv6 wait v6net/blog v6net/shop --for=condition=Ready --timeout=2m",
        "dockerv6 wait v6net/blog --for=delete",
        "dockerv6 wait v6net --all",
    ),
)
@click.argument("wanted", metavar="KIND/NAME...", nargs=-1, shell_complete=complete)
@click.option(
    "--for",
    "awaiting",
    type=click_type(parse_awaited),
    metavar="CONDITION",
    default="condition=Ready",
    show_default=True,
    help="What to wait for: condition=TYPE[=True|False|Unknown], or delete.",
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
@click.pass_context
def command(
    ctx: click.Context, *, wanted: tuple[str, ...], awaiting: AwaitedState, timeout: float, every: bool, state_dir: str
) -> None:
    """Wait for a condition of resources, or for their deletion. The exit code is 1 on timeout.

    A condition counts only while a daemon runs, and if it belongs to the newest accepted version of the resource. A
    resource that does not exist yet is waited for as well, because the daemon reads a file a moment after it was
    written.
    """
    references = _references(wanted, every=every)
    state = StateDirectory(Path(state_dir))
    clock = clock_of(ctx)
    awaited: list[Key] = []
    present: Objects = {}
    daemon: int | None = None
    for present in state.watch(_reader(state, awaiting), clock, until=clock.monotonic() + timeout):
        awaited = _keys(references, present, awaited if awaiting.deletion else [])
        daemon = state.daemon()
        current = daemon is not None or awaiting.deletion  # what no daemon keeps up may be true no more
        if (awaited or awaiting.deletion) and current and all(awaiting.met(present.get(key)) for key in awaited):
            for key in awaited:
                click.echo(f"{full_name(*key)} {'deleted' if awaiting.deletion else 'condition met'}")
                _warn(present.get(key))
            return
    left = [key for key in awaited if not awaiting.met(present.get(key))]
    reasons = [f"{short_name(*key)}: {awaiting.describe_actual(present.get(key))}" for key in left]
    if not reasons:
        reasons = [state.staleness(clock.now()) if awaited else "no resource exists yet"]
    stopped = "" if daemon is not None or not left else f" (no dockerv6 is running with {state_dir})"
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


def _keys(references: tuple[ResourceRef, ...], present: Objects, before: list[Key]) -> list[Key]:
    """The resources to wait for: named ones, of whole kinds the present ones, and those from before."""
    keys = dict.fromkeys(before)
    for ref in references:
        names = [ref.name] if ref.name is not None else [n for k, n in present if k == ref.info.kind]
        keys |= dict.fromkeys((ref.info.kind, name) for name in names)
    return list(keys)
