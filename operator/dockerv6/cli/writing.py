"""Writing and removing resource files for ``apply -f``, ``delete`` and ``edit``."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from dockerv6.api.scheme import digest
from dockerv6.cli.manifests import Manifest, read_manifests
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import full_name
from dockerv6.cli.state import StateDirectory
from dockerv6.daemon.settings import Settings
from dockerv6.lib.statefile import StateFileMissingError
from dockerv6.source.resource_files import EditRefusedError, ResourceFiles
from dockerv6.store.model import RUNNING, SOURCES, JsonObject


def write_manifests(paths: Iterable[str], settings: Settings, *, force: bool, dry_run: bool) -> None:
    """Write the resources of ``-f``. Every one is checked before the first is written.

    Raises:
        click.ClickException, EditRefusedError, OSError: a resource is invalid, or its file can't be changed.
    """
    manifests = read_manifests(paths)
    files = ResourceFiles(settings.config_dirs)
    present = {
        (str(each.resource.kind), each.resource.metadata.name): digest(each.resource)
        for each in files.snapshot.resources
    }
    changed = [each for each in manifests if present.get((each.kind, each.name)) != each.digest]
    refused = [problem for each in changed if (problem := _refusal(files, settings, each, force=force))]
    if refused:
        for problem in refused[:-1]:
            click.echo(f"Error: {plain(problem)}", err=True)
        raise EditRefusedError(refused[-1])
    for each in manifests:
        name = full_name(each.kind, each.name)
        if each not in changed:
            click.echo(f"{name} unchanged")
            continue
        existed = files.position(each.kind, each.name) is not None
        file = files.write(each.kind, each.name, each.text, force=force, dry_run=dry_run)
        click.echo(f"{name} {'configured' if existed else 'created'}{' (dry run)' if dry_run else ''}")
        click.echo(f"  {plain(str(file))}", err=True)
    if changed and not dry_run:
        note_effect(settings)


def _refusal(files: ResourceFiles, settings: Settings, manifest: Manifest, *, force: bool) -> str:
    """Why a resource can't be written; "": it can."""
    try:
        refuse_unread(settings, [files.write(manifest.kind, manifest.name, manifest.text, force=force, dry_run=True)])
    except EditRefusedError as error:
        return str(error)
    return ""


def refuse_unread(settings: Settings, files: Iterable[Path]) -> None:
    """Refuse to change a file that the running daemon does not read.

    Roots are compared by path, and by device and inode: a daemon in a container has its own paths.

    Raises:
        EditRefusedError: the message names the directories that it reads.
    """
    roots = running_sources(settings).get("roots")
    if not isinstance(roots, Mapping) or not roots:  # there is no daemon, or an older one
        return
    for file in files:
        above = [path for each in (file.absolute(), file.resolve()) for path in (each, *each.parents)]
        if not any(str(path) in roots or _identity(path) in roots.values() for path in above):
            directories = sorted(root for root in roots if settings.git_directory not in Path(root).parents)
            raise EditRefusedError(
                f"{file} would have no effect: the running dockerv6 reads {', '.join(directories)}; select one of"
                " them with --config-dir, or another daemon with --state-dir"
            )


def running_sources(settings: Settings) -> JsonObject:
    """What the running daemon recorded of its sources: ``roots`` and ``prune``; empty: no daemon runs."""
    state = StateDirectory(Path(settings.state_dir))
    if state.daemon() is None:
        return {}
    try:
        return state.records(RUNNING).get(SOURCES, {})
    except StateFileMissingError:  # it has just started
        return {}


def _identity(path: Path) -> str:
    """As `source.model.SourceRoot` has it; "-": the path does not exist."""
    try:
        status = path.stat()
    except OSError:
        return "-"
    return f"{status.st_dev}:{status.st_ino}"


def note_effect(settings: Settings) -> bool:
    """Say it if no daemon acts on what was changed. Returns whether one does."""
    if StateDirectory(Path(settings.state_dir)).daemon() is not None:
        return True
    click.echo(
        f"no dockerv6 is running with {plain(settings.state_dir)}: the change takes effect when it is started"
        " (systemctl start dockerv6), or with `dockerv6 apply`",
        err=True,
    )
    return False
