"""``dockerv6 wait``: until resources are as one wants them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from dockerv6.api.kinds import KINDS
from dockerv6.cli import options
from dockerv6.cli.printers.table import plain
from dockerv6.cli.state import State
from dockerv6.cli.targets import Target, complete, full_name, kind, short_name, targets
from dockerv6.cli.verb import Verb
from dockerv6.lib.statefile import StateFileMissingError
from dockerv6.store.model import StoredObject

Key = tuple[str, str]
Objects = Mapping[Key, StoredObject]


@dataclass(frozen=True, slots=True)
class Goal:
    """What is waited for: a condition's status, or, without a type, that the resource is gone."""

    type: str = ""
    status: str = "True"

    @property
    def deletion(self) -> bool:
        """Whether it is the end of the resource."""
        return not self.type

    def met(self, stored: StoredObject | None) -> bool:
        """Whether it is so now. A status that belongs to an earlier version of the resource does not count."""
        if self.deletion:
            return stored is None
        if stored is None or stored.status.get("observedGeneration") != stored.generation:
            return False
        return self._says_so(stored) and not (self.readiness and _outdated(stored))

    @property
    def readiness(self) -> bool:
        """Whether it is that the resource is Ready."""
        return (self.type.casefold(), self.status.casefold()) == ("ready", "true")

    def _says_so(self, stored: StoredObject) -> bool:
        return str(_condition(stored, self.type).get("status", "")).casefold() == self.status.casefold()

    def shortfall(self, stored: StoredObject | None) -> str:
        """What there is instead, for the error."""
        if stored is None:
            return "it does not exist"
        if self.deletion:
            gone = "it is being deleted" if stored.deleting_since is not None else "it is not being deleted"
            return f"{gone}; {_said(stored, 'Ready')}"
        if self.readiness and _outdated(stored):
            return _outdated(stored)
        if stored.status.get("observedGeneration") != stored.generation:
            return f"its newest version (generation {stored.generation}) has not been worked on yet"
        return _said(stored, self.type)

    def __str__(self) -> str:
        return "deletion" if self.deletion else f"condition {self.type}={self.status}"


def _outdated(stored: StoredObject) -> str:
    """Why a resource can't be called Ready, whatever its last status says: it is not what its file says any more."""
    if stored.deleting_since is not None:
        return f"it is being deleted; {_said(stored, 'Ready')}"
    if stored.problem:
        return f"its newest version can't be accepted: {plain(stored.problem)}"
    return ""


def _condition(stored: StoredObject, type_: str) -> Mapping[str, object]:
    conditions = stored.status.get("conditions")
    items = [c for c in conditions if isinstance(c, Mapping)] if isinstance(conditions, list) else []
    return next((c for c in items if str(c.get("type", "")).casefold() == type_.casefold()), {})


def _said(stored: StoredObject, type_: str) -> str:
    found = _condition(stored, type_)
    if not found:
        return f"it has no condition {type_}"
    return plain(f"{found.get('type')}={found.get('status')} ({found.get('reason')}): {found.get('message')}")


def goal(text: str) -> Goal:
    """``condition=TYPE``, ``condition=TYPE=STATUS`` or ``delete``, for click's ``type``."""
    if text == "delete":
        return Goal()
    what, _, rest = text.partition("=")
    type_, _, status = rest.partition("=")
    if what != "condition" or not type_:
        raise click.BadParameter(f"{text!r} is neither condition=TYPE, condition=TYPE=STATUS nor delete")
    return Goal(type_, status or "True")


@click.command(
    "wait",
    cls=Verb,
    short_help="Wait until resources are as wanted.",
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
    type=goal,
    metavar="CONDITION",
    default="condition=Ready",
    show_default=True,
    help="condition=TYPE[=True|False|Unknown], or delete.",
)
@click.option(
    "--timeout",
    type=options.duration,
    metavar="DURATION",
    default="30s",
    show_default=True,
    help="How long to wait; 0 looks once.",
)
@click.option("--all", "every", is_flag=True, help="Every resource of the kinds given, or of all kinds.")
@options.state_dir
@click.pass_context
def command(
    ctx: click.Context, *, wanted: tuple[str, ...], awaiting: Goal, timeout: float, every: bool, state_dir: str
) -> None:
    """Wait until resources are as wanted; exit code 1 when the time is over.

    A condition only counts once it was found for the newest accepted version of the resource. A resource that is not
    there yet is waited for as well, since files are picked up a moment after they were written.
    """
    asked = _asked(wanted, every=every)
    state = State(Path(state_dir))
    time = options.time_of(ctx)
    awaited: list[Key] = []
    present: Objects = {}
    for present in state.watch(_reader(state, awaiting), time, until=time.monotonic() + timeout):
        awaited = _awaited(asked, present, awaited if awaiting.deletion else [])
        if (awaited or awaiting.deletion) and all(awaiting.met(present.get(key)) for key in awaited):
            for key in awaited:
                click.echo(f"{full_name(*key)} {'deleted' if awaiting.deletion else 'condition met'}")
            return
    left = [key for key in awaited if not awaiting.met(present.get(key))]
    reasons = [f"{short_name(*key)}: {awaiting.shortfall(present.get(key))}" for key in left] or [
        "there is no resource yet"
    ]
    daemon = "" if state.daemon() is not None else f" (no dockerv6 is running with {state_dir})"
    raise click.ClickException(f"timed out waiting for {awaiting}{daemon}: {'; '.join(reasons)}")


def _asked(wanted: tuple[str, ...], *, every: bool) -> tuple[Target, ...]:
    if every:
        return tuple(Target(kind(word)) for word in wanted) or tuple(Target(info) for info in KINDS)
    if not wanted:
        raise click.UsageError("name what to wait for: KIND/NAME, or --all")
    asked = targets(wanted)
    if any(target.name is None for target in asked):
        raise click.UsageError("name the resources: KIND/NAME; or wait for every one with --all")
    return asked


def _reader(state: State, goal: Goal) -> Callable[[], Objects]:
    """Reads what there is. Without any state yet that is nothing, unless a deletion is waited for.

    A mistyped state directory must not look like a success.
    """

    def read() -> Objects:
        try:
            return {(stored.kind, stored.name): stored for stored in state.objects()}
        except StateFileMissingError:
            if goal.deletion:
                raise
            return {}

    return read


def _awaited(asked: tuple[Target, ...], present: Objects, before: list[Key]) -> list[Key]:
    """The resources that are waited for; of whole kinds those that are there, and those that were before."""
    keys = dict.fromkeys(before)
    for target in asked:
        names = [target.name] if target.name is not None else [n for k, n in present if k == target.info.kind]
        keys |= dict.fromkeys((target.info.kind, name) for name in names)
    return list(keys)
