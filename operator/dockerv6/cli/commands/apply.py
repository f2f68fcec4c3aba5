"""``dockerv6 apply``: converge once, or wait for the running daemon to do it; with ``-f``, write resource files."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from dockerv6.api.conditions import ConditionType, Reason, warnings
from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import (
    DURATION,
    ExampleCommand,
    clock_of,
    dry_run_option,
    filename_option,
    recursive_option,
    with_settings,
)
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import ResourceKey, full_name
from dockerv6.cli.state import BlockingClock, StateDirectory, condition_of, conditions_of
from dockerv6.daemon.settings import Settings
from dockerv6.store.lock import AlreadyRunning
from dockerv6.store.model import StoredObject

if TYPE_CHECKING:
    from dockerv6.source.model import Snapshot


class ResourceResult(Protocol):
    """The condition Ready of a resource after an apply."""

    @property
    def kind(self) -> str:
        """Its kind."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def ready(self) -> bool:
        """Whether it is True."""

    @property
    def reason(self) -> str:
        """Its reason."""

    @property
    def message(self) -> str:
        """Its message."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should look at although it may be ready."""


@click.command(
    "apply",
    cls=ExampleCommand,
    short_help="Reconcile once, or write resource files (-f).",
    examples=(
        "dockerv6 apply",
        "dockerv6 apply --config-dir ./networks --timeout 30s",
        "dockerv6 apply -f blog.yaml",
        "dockerv6 apply -f - --dry-run < blog.yaml",
        "dockerv6 apply blog.plan",
    ),
)
@filename_option("Write the resources of a file, a directory or standard input (-) to the configuration directory.")
@dry_run_option("With -f: print what would be written, and write nothing.")
@click.option("--force", is_flag=True, help="With -f: also replace a file with comments.")
@click.option(
    "--timeout",
    type=DURATION,
    metavar="DURATION",
    default="2m",
    show_default=True,
    help="Maximum time to wait.",
)
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@with_settings
@recursive_option
@without_namespaces
@click.pass_context
def command(
    ctx: click.Context,
    settings: Settings,
    *,
    manifests: tuple[str, ...],
    dry_run: bool,
    force: bool,
    timeout: float,
    plan_file: Path | None,
) -> None:
    """Reconcile all resources once and print whether each one is Ready. With -f, write resource files.

    The exit code is 1 if a resource is not Ready, or if there is a problem that belongs to no resource. Warnings don't
    change it.

    If a daemon is running with the same state directory, the daemon reconciles and this command waits for it.

    With -f, each resource is written to a file of its own in the first configuration directory, or replaces the file
    that it already has. The daemon then reads the file; this command does not wait for it (see `dockerv6 wait`). A file
    that also has other resources, is in a Git repository or behind a link of git-sync is not changed. A file with
    comments is changed only with --force.

    With PLAN, a file of `dockerv6 plan --out`, exactly the steps of that plan are executed. The plan is refused if
    other steps are needed by now, or while a daemon runs, because the daemon makes its own plans.
    """
    if manifests:
        if plan_file is not None:
            raise click.UsageError("-f writes resource files, and PLAN executes a plan: give one of them")
        from dockerv6.cli.writing import write_manifests  # noqa: PLC0415 - loads the models

        write_manifests(manifests, settings, force=force, dry_run=dry_run)
        return
    if dry_run or force:
        raise click.UsageError("--dry-run and --force belong to -f; `dockerv6 plan` shows what a run would change")
    from dockerv6.daemon.preview import read_plan  # noqa: PLC0415 - loads the daemon
    from dockerv6.daemon.process import apply  # noqa: PLC0415 - loads the daemon
    from dockerv6.planning.saved_plan import PlanRefused  # noqa: PLC0415 - loads the planning floor

    results: Iterable[ResourceResult]
    try:
        results = apply(settings, timeout, read_plan(plan_file)) if plan_file is not None else apply(settings, timeout)
    except PlanRefused as refused:
        for line in refused.difference:
            click.echo(plain(line), err=True)
        raise
    except AlreadyRunning as running:
        if plan_file is not None:
            remedy = "the daemon makes plans of its own: stop it (systemctl stop dockerv6) to apply a plan file"
            raise click.ClickException(plain(f"{running}; {remedy}")) from running
        click.echo(f"dockerv6 (process {running.pid or 'unknown'}) is running: waiting for it", err=True)
        results = _wait(settings, timeout, clock_of(ctx))
    problems, warnings = _problems(Path(settings.state_dir))
    for problem in problems:
        click.echo(f"Error: {plain(problem)}", err=True)
    for warning in warnings:
        click.echo(f"Warning: {plain(warning)}", err=True)
    ctx.exit(_print(list(results)) or int(bool(problems)))


def _problems(directory: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong and belongs to no resource, such as a file with an unknown kind; and warnings."""
    from dockerv6.lib.statefile import StateFileMissingError  # noqa: PLC0415 - start-up is budgeted

    try:
        state = StateDirectory(directory)
        return state.problems(), state.warnings()
    except StateFileMissingError:
        return (), ()


def _print(results: list[ResourceResult]) -> int:
    for result in results:
        name = full_name(result.kind, result.name)
        if result.ready:
            click.echo(f"{name} ready")
        else:
            click.echo(f"{name} {click.style('not ready', fg='red')} ({result.reason}): {plain(result.message)}")
        for warning in result.warnings:
            click.echo(f"  {click.style('warning', fg='yellow')}: {plain(warning)}")
    if not results:
        click.echo("No resources found", err=True)
    if len(results) > 1 or any(result.warnings for result in results):
        ready, warned = sum(result.ready for result in results), sum(bool(result.warnings) for result in results)
        click.echo(f"{ready} of {len(results)} ready, {warned} with warnings", err=True)
    return 0 if all(result.ready for result in results) else 1


def _wait(settings: Settings, timeout: float, clock: BlockingClock) -> "Iterable[ResourceResult]":
    """Wait until the daemon has reconciled the files, or the time is over."""
    from dockerv6.lib.statefile import StateFileMissingError  # noqa: PLC0415 - only beside a daemon
    from dockerv6.source.load import load_paths  # noqa: PLC0415 - loads the models

    snapshot = load_paths(settings.roots, sys.stdin.buffer)
    state = StateDirectory(Path(settings.state_dir))

    def read() -> tuple[StoredObject, ...]:
        try:
            return state.objects()
        except StateFileMissingError:  # the daemon has just started
            return ()

    statuses: tuple[ApplyStatus, ...] = ()
    for stored in state.watch(read, clock, until=clock.monotonic() + timeout):
        statuses = apply_statuses(snapshot, stored)
        if all(status.final for status in statuses):
            break
    return statuses


@dataclass(frozen=True, slots=True)
class ApplyStatus:
    """A resource that a running daemon reconciles."""

    kind: str
    name: str
    ready: bool
    reason: str
    message: str
    final: bool  # it does not change without a change of a file
    warnings: tuple[str, ...] = ()


def apply_statuses(snapshot: "Snapshot", stored: Iterable[StoredObject]) -> tuple[ApplyStatus, ...]:
    """The status of each resource in the files, and of each stored resource without a file; by kind and name."""
    from dockerv6.api.scheme import digest  # noqa: PLC0415 - loads the models

    by_key = {(each.kind, each.name): each for each in stored}
    digests = {
        (str(sourced.resource.kind), sourced.resource.metadata.name): digest(sourced.resource)
        for sourced in snapshot.resources
    }
    invalid = {
        (each.kind, each.name): "; ".join(map(str, each.diagnostics))
        for each in snapshot.invalid
        if each.kind and each.name
    }
    found = []
    for key in sorted({*digests, *invalid, *(key for key, each in by_key.items() if each.file)}):
        if key in invalid:
            found.append(ApplyStatus(*key, ready=False, reason=Reason.INVALID_SPEC, message=invalid[key], final=True))
        elif key in digests:
            found.append(_status_of_file(key, digests[key], by_key.get(key)))
        else:
            found.append(_status_of_deleted(by_key[key]))
    return tuple(found)


def _status_of_file(key: ResourceKey, digest: str, stored: StoredObject | None) -> ApplyStatus:
    if stored is None or stored.digest != digest or stored.problem or stored.deleting_since is not None:
        return _in_progress(key, "the daemon has not read its file yet")
    if stored.status.get("observedGeneration") != stored.generation:
        return _in_progress(key, "the daemon has not reconciled its newest version yet")
    condition = condition_of(stored, ConditionType.READY)
    ready = condition.get("status") == "True"
    stalled = bool(condition_of(stored, ConditionType.STALLED))
    reason, message = str(condition.get("reason", Reason.PROGRESSING)), str(condition.get("message", ""))
    found = warnings(conditions_of(stored))
    return ApplyStatus(*key, ready=ready, reason=reason, message=message, final=ready or stalled, warnings=found)


def _status_of_deleted(stored: StoredObject) -> ApplyStatus:
    held = condition_of(stored, ConditionType.PRUNE_HELD)
    condition = held or (condition_of(stored, ConditionType.READY) if stored.deleting_since is not None else {})
    message = str(condition.get("message") or "its file was deleted; the daemon will delete it")
    reason = str(condition.get("reason") or Reason.DELETING)
    return ApplyStatus(stored.kind, stored.name, ready=False, reason=reason, message=message, final=bool(held))


def _in_progress(key: ResourceKey, message: str) -> ApplyStatus:
    return ApplyStatus(*key, ready=False, reason=Reason.PROGRESSING, message=message, final=False)
