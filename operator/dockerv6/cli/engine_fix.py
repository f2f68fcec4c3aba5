"""``dockerv6 doctor --fix`` shows a change of the engine's settings and asks; ``--explain`` prints a section."""

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from dockerv6.api.errors import did_you_mean
from dockerv6.cli.commands.uninstall import interactive
from dockerv6.cli.printers.table import plain
from dockerv6.daemon.settings import Settings
from dockerv6.lib.text import shell_quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from dockerv6.daemon.engine_change import EngineChange
    from dockerv6.daemon.findings import HostCheck

NOT_APPLIED = 2
"""The exit code if a change was shown and not applied, like that of ``plan``."""

_RESTART = (
    "The engine reads these keys only at its start, not at a reload (SIGHUP): they take effect when it is restarted."
)


def complete_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the ids of findings."""
    from dockerv6.daemon.findings import FindingId  # noqa: PLC0415 - start-up is budgeted

    del ctx, param
    return [CompletionItem(str(each)) for each in FindingId if each.casefold().startswith(incomplete.casefold())]


def explanation_of(name: str) -> str:
    """The section of a finding, by its id in any case."""
    from dockerv6.daemon.findings import FindingId, explanation  # noqa: PLC0415 - start-up is budgeted

    found = next((each for each in FindingId if each.casefold() == name.casefold()), None)
    if found is None:
        raise click.ClickException(f"there is no finding {name!r}; {did_you_mean(name, tuple(FindingId))}")
    return explanation(found)


def fix_findings(
    settings: Settings,
    checks: "Sequence[HostCheck]",
    examine: "Callable[[Settings], Sequence[HostCheck]]",
    *,
    yes: bool,
    dry_run: bool,
    restart_engine: bool,
) -> "Collection[HostCheck]":
    """Show the change that solves findings, ask, and apply it.

    Returns:
        The findings that are solved, now or after the engine's restart.

    Raises:
        click.exceptions.Exit: the change was shown and not applied.
        click.ClickException, EngineProcessError, OSError: the change was refused, or failed.
    """
    from dockerv6.daemon.engine_change import propose  # noqa: PLC0415 - loads the daemon

    change = propose(settings, checks)
    if change is None:
        click.echo("--fix can solve none of these findings.", err=True)
        return ()
    _show(change, restart_engine=restart_engine, dry_run=dry_run)
    if not restart_engine and not change.diff():
        how = "add --restart-engine" if change.engine.is_restartable() else "restart it in the way it was started"
        click.echo(f"daemon.json needs no change, but the engine needs a restart: {how}.", err=True)
        return ()
    change.check(restart=restart_engine)
    if not _is_allowed(yes=yes, dry_run=dry_run):
        raise click.exceptions.Exit(NOT_APPLIED)
    backup = change.apply()
    _show_undo(change, backup)
    if not restart_engine:
        how = (
            f"systemctl restart {change.engine.unit}" if change.engine.is_restartable() else "in the way it was started"
        )
        click.echo(f"Restart the engine now or later: {how}", err=True)
        return change.findings
    try:
        change.restart(settings, backup)
    except KeyboardInterrupt:
        click.echo(
            f"Interrupted. daemon.json is what it was before. Restart the engine with it: systemctl restart"
            f" {change.engine.unit}",
            err=True,
        )
        raise
    ids = {each.id for each in change.findings}
    left = [each for each in examine(settings) if each.id in ids]
    if left:
        raise click.ClickException(
            plain(f"the engine was restarted, but this remains: {'; '.join(f'{e.id}: {e.message}' for e in left)}")
        )
    click.echo(f"The engine was restarted and answers. Solved: {', '.join(sorted(map(str, ids)))}.", err=True)
    return change.findings


def _show(change: "EngineChange", *, restart_engine: bool, dry_run: bool) -> None:
    click.echo(err=True)
    for each in change.findings:
        click.echo(f"{each.id}: {plain(each.message)}", err=True)
    diff = change.diff()
    for line in diff:
        click.echo("\t".join(map(plain, line.split("\t"))))
    if diff:
        click.echo(_RESTART, err=True)
    if restart_engine:
        will = "would" if dry_run else "will"
        what = "be stopped; those with a restart policy start again"
        if change.containers and change.info.live_restore:
            what = "keep running (live-restore). While a container runs, the engine ignores changes of its networks"
        click.echo(f"The engine {will} be restarted. {_containers(change.containers)} {will} {what}.", err=True)


def _containers(number: int) -> str:
    return "1 running container" if number == 1 else f"{number} running containers"


def _is_allowed(*, yes: bool, dry_run: bool) -> bool:
    if dry_run or yes:
        return not dry_run
    if not interactive():
        click.echo("Nothing was changed: there is no terminal for the question; use --yes.", err=True)
        return False
    if not click.confirm("Apply this change?", err=True):
        click.echo("Nothing was changed.", err=True)
        return False
    return True


def _show_undo(change: "EngineChange", backup: "Path | None") -> None:
    path = plain(shell_quoted(str(change.path)))
    if backup is not None:
        click.echo(f"Written. The old file is {plain(str(backup))}; to restore it:", err=True)
        click.echo(f"  mv {plain(shell_quoted(str(backup)))} {path}", err=True)
    elif change.diff():
        click.echo(f"Written. To undo it: rm {path}", err=True)
