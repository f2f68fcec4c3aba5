"""``dockerv6 delete``: remove the files of resources, which the daemon then deletes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import (
    DURATION,
    ExampleCommand,
    clock_of,
    dry_run_option,
    recursive_option,
    setting_option,
)
from dockerv6.cli.selection import (
    ResourceRef,
    complete,
    full_name,
    not_found,
    parse_references,
    parse_selector,
)
from dockerv6.cli.state import StateDirectory
from dockerv6.daemon.settings import Settings

if TYPE_CHECKING:
    from dockerv6.source.resource_files import ResourceFiles

_NO_LIMIT = 10 * 365 * 86400.0  # seconds


@click.command(
    "delete",
    cls=ExampleCommand,
    short_help="Delete resources and their files.",
    examples=(
        "dockerv6 delete v6net blog",
        "dockerv6 delete v6net/blog v6net/shop --wait=false",
        "dockerv6 delete -f blog.yaml",
        "dockerv6 delete v6net -l app=blog --dry-run",
    ),
)
@click.argument("wanted", metavar="[KIND [NAME]...]", nargs=-1, shell_complete=complete)
@click.option(
    "-f",
    "--filename",
    "manifests",
    metavar="FILE",
    multiple=True,
    type=click.Path(allow_dash=True),
    help="Delete the resources that a file, a directory or standard input (-) names. Repeatable.",
)
@click.option("-l", "--selector", "labels", metavar="SELECTOR", help="All resources of the kind whose labels match.")
@click.option("--all", "every", is_flag=True, help="All resources of the kind.")
@click.option("--ignore-not-found", is_flag=True, help="A resource that does not exist is no error.")
@click.option("--force", is_flag=True, help="Also remove a file with comments.")
@dry_run_option("Print what would be deleted, and delete nothing.")
@click.option(
    "--wait",
    "waiting",
    type=bool,
    is_flag=False,
    flag_value="true",
    default="true",
    show_default=True,
    metavar="BOOLEAN",
    help="Wait until the daemon has removed everything that the resources asked for.",
)
@click.option(
    "--timeout",
    type=DURATION,
    metavar="DURATION",
    default="0",
    show_default=True,
    help="Maximum time to wait. 0: as long as it takes.",
)
@setting_option("config_dirs")
@setting_option("state_dir")
@recursive_option
@without_namespaces
@click.pass_context
def command(
    ctx: click.Context,
    *,
    wanted: tuple[str, ...],
    manifests: tuple[str, ...],
    labels: str | None,
    every: bool,
    ignore_not_found: bool,
    force: bool,
    dry_run: bool,
    waiting: bool,
    timeout: float,
    config_dirs: tuple[str, ...],
    state_dir: str,
) -> None:
    """Delete resources: remove their files, and wait until the daemon has removed their networks and rules.

    A file with other resources, in a Git repository or behind a link of git-sync is not changed, and one with comments
    only with --force. The daemon waits 5 s before a missing file counts as a deletion, and for containers that are
    attached. Exit code 1 if the time is over.
    """
    from dockerv6.cli.commands.wait import DELETE, AwaitedState, wait_for  # noqa: PLC0415 - only when it waits
    from dockerv6.cli.printers.table import plain  # noqa: PLC0415 - as above
    from dockerv6.cli.writing import note_effect  # noqa: PLC0415 - loads the models
    from dockerv6.source.resource_files import ResourceFiles  # noqa: PLC0415 - as above

    files = ResourceFiles(config_dirs)
    settings = Settings(config_dirs=config_dirs, state_dir=state_dir)
    references = _references(wanted, manifests, labels, files, every=every)
    found = [ref for ref in references if files.position(ref.info.kind, str(ref.name)) is not None]
    for ref in references:
        if ref not in found and not ignore_not_found:
            raise _missing(ref, state_dir, config_dirs)
    for ref in found:  # every one is checked before the first is removed
        files.remove(ref.info.kind, str(ref.name), force=force, dry_run=True)
    for ref in found:
        file = files.remove(ref.info.kind, str(ref.name), force=force, dry_run=dry_run)
        click.echo(f"{full_name(ref.info.kind, str(ref.name))} deleted{' (dry run)' if dry_run else ''}")
        click.echo(f"  {plain(str(file))}", err=True)
    if not found:
        click.echo("No resources found", err=True)
    elif not dry_run and note_effect(settings) and waiting:
        state = StateDirectory(Path(state_dir))
        wait_for(state, clock_of(ctx), tuple(found), AwaitedState(DELETE), timeout or _NO_LIMIT)


def _references(
    wanted: tuple[str, ...], manifests: tuple[str, ...], labels: str | None, files: "ResourceFiles", *, every: bool
) -> tuple[ResourceRef, ...]:
    """The named resources, those of the files of ``-f``, or all of a kind that match."""
    from dockerv6.api.kinds import kind_info  # noqa: PLC0415 - one place loads lazily

    if bool(wanted) == bool(manifests):
        raise click.UsageError("select resources with KIND NAME, KIND/NAME or -f FILE")
    if manifests:
        from dockerv6.cli.manifests import read_manifests  # noqa: PLC0415 - loads the models

        return tuple(ResourceRef(kind_info(each.kind), each.name) for each in read_manifests(manifests))
    references = parse_references(wanted)
    if all(ref.name is not None for ref in references):
        if every or labels is not None:
            raise click.UsageError("--all and --selector take a kind without names")
        return references
    if every == (labels is not None):
        raise click.UsageError("name the resources, or select all of the kind with --all or --selector")
    matches = parse_selector(labels or "")
    kinds = [ref.info.kind for ref in references]
    return tuple(
        ResourceRef(kind_info(each.resource.kind), each.resource.metadata.name)
        for each in files.snapshot.resources
        if each.resource.kind in kinds and matches(each.resource.metadata.labels)
    )


def _missing(ref: ResourceRef, state_dir: str, config_dirs: tuple[str, ...]) -> click.ClickException:
    """The error for a resource without a file."""
    from dockerv6.lib.statefile import StateFileMissingError  # noqa: PLC0415 - only for this error

    try:
        stored = StateDirectory(Path(state_dir)).objects(ref.info.kind, ref.name)
    except StateFileMissingError:
        stored = ()
    if not stored:
        return not_found(ref.info, str(ref.name))
    if stored[0].deleting_since is not None:
        return click.ClickException(
            f"{ref.info.singular}/{ref.name} has no file any more and is being deleted; see `dockerv6 describe"
            f" {ref.info.singular} {ref.name}`"
        )
    if not stored[0].file:
        return click.ClickException(f"{ref.info.singular}/{ref.name} was made by dockerv6 and has no file to remove")
    return click.ClickException(
        f"{ref.info.singular}/{ref.name} is in no file of {', '.join(config_dirs)}; its file was {stored[0].file}:"
        " select the directories of the daemon with --config-dir, or wait until it has noticed the deletion"
    )
