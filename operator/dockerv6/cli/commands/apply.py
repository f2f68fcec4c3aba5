"""``dockerv6 apply``: converge once."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from dockerv6.cli import options
from dockerv6.cli.errors import unusable_settings
from dockerv6.cli.printers.table import plain
from dockerv6.cli.state import State
from dockerv6.cli.targets import full_name
from dockerv6.cli.times import Time
from dockerv6.cli.verb import Verb
from dockerv6.store.lock import AlreadyRunning
from dockerv6.store.model import StoredObject

if TYPE_CHECKING:
    from dockerv6.daemon.settings import Settings


class Result(Protocol):
    """How a resource is after an apply, whoever did it."""

    @property
    def kind(self) -> str:
        """Its kind."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def ready(self) -> bool:
        """Whether it is as it was asked for."""

    @property
    def reason(self) -> str:
        """Of the condition Ready."""

    @property
    def message(self) -> str:
        """Of the condition Ready."""


@click.command(
    "apply",
    cls=Verb,
    short_help="Converge once; fail when something is not Ready.",
    examples=(
        "dockerv6 apply",
        "dockerv6 apply --config-dir ./networks --timeout 30s",
    ),
)
@click.option(
    "--timeout",
    type=options.duration,
    metavar="DURATION",
    default="2m",
    show_default=True,
    help="How long it may take.",
)
@options.with_settings
@click.pass_context
def command(ctx: click.Context, settings: "Settings", *, timeout: float) -> None:
    """Converge the host on the resources once, and tell of each whether it is Ready: exit code 1 when one is not.

    While a daemon runs with the same state directory it does the work, and this waits for it.
    """
    from dockerv6.daemon.process import apply  # noqa: PLC0415 - the daemon's imports, which --help need not

    results: Iterable[Result]
    try:
        with unusable_settings():
            results = apply(settings, timeout)
    except AlreadyRunning as running:
        click.echo(f"dockerv6 (process {running.pid or 'unknown'}) is running: waiting for it", err=True)
        results = _wait(settings, timeout, options.time_of(ctx))
    ctx.exit(_tell(list(results)))


def _wait(settings: "Settings", timeout: float, time: Time) -> Iterable[Result]:
    """Until the daemon has come to an end with what the files say, or the time is over."""
    from dockerv6.cli.convergence import ApplyStatus, standings  # noqa: PLC0415 - loads the models
    from dockerv6.lib.statefile import StateFileMissingError  # noqa: PLC0415 - as above
    from dockerv6.source.load import load_paths  # noqa: PLC0415 - as above

    snapshot = load_paths(settings.config_dirs, sys.stdin.buffer)
    state = State(Path(settings.state_dir))

    def read() -> tuple[StoredObject, ...]:
        try:
            return state.objects()
        except StateFileMissingError:  # the daemon has only just started
            return ()

    found: tuple[ApplyStatus, ...] = ()
    for present in state.watch(read, time, until=time.monotonic() + timeout):
        found = standings(snapshot, present)
        if all(standing.final for standing in found):
            break
    return found


def _tell(results: list[Result]) -> int:
    for result in results:
        name = full_name(result.kind, result.name)
        if result.ready:
            click.echo(f"{name} ready")
        else:
            click.echo(f"{name} {click.style('not ready', fg='red')} ({result.reason}): {plain(result.message)}")
    if not results:
        click.echo("No resources found", err=True)
    return 0 if all(result.ready for result in results) else 1
