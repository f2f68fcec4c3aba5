"""``dockerv6 delete``: remove the files of resources, which the daemon then deletes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.api.conditions import ConditionType
from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import (
    DURATION,
    ExampleCommand,
    OptionalValueOption,
    clock_of,
    dry_run_option,
    filename_option,
    recursive_option,
    setting_option,
)
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import (
    ResourceKey,
    ResourceRef,
    complete,
    full_name,
    not_found,
    parse_references,
    parse_selector,
    short_name,
)
from dockerv6.cli.state import BlockingClock, StateDirectory, condition_of
from dockerv6.daemon.settings import Settings
from dockerv6.lib.statefile import StateFileMissingError
from dockerv6.store.model import SUSPENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dockerv6.source.resource_files import ResourceFiles
    from dockerv6.store.model import StoredObject

_GRACE = 5.0  # seconds until the daemon takes a missing file for a deletion, `planning.admission.PruneRules`


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
@filename_option("Delete the resources that a file, a directory or standard input (-) names.")
@click.option("-l", "--selector", "labels", metavar="SELECTOR", help="All resources of the kind whose labels match.")
@click.option("--all", "every", is_flag=True, help="All resources of the kind.")
@click.option("--ignore-not-found", is_flag=True, help="A resource that does not exist is no error.")
@click.option("--force", is_flag=True, help="Also remove a file with comments.")
@dry_run_option("Print what would be deleted, and delete nothing.")
@click.option(
    "--wait",
    "waiting",
    type=bool,
    cls=OptionalValueOption,
    bare="true",
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

    Refused are: a file that also has other resources, is in a Git repository or behind a link of git-sync; a file with
    comments, unless --force is given; a resource that `dockerv6 suspend` suspended, or that two files define.

    The daemon waits 5 s before a missing file counts as a deletion. Then it waits until no container is attached. The
    exit code is 1 on timeout, if the deletion is held back (see `dockerv6 prune`), or if the daemon runs with
    --no-prune.
    """
    from dockerv6.cli.commands.wait import DELETE, AwaitedState, wait_for  # noqa: PLC0415 - only when it waits
    from dockerv6.cli.writing import note_effect, refuse_unread, running_sources  # noqa: PLC0415 - loads the models
    from dockerv6.source.resource_files import ResourceFiles  # noqa: PLC0415 - as above

    files = ResourceFiles(config_dirs)
    settings = Settings(config_dirs=config_dirs, state_dir=state_dir)
    references = _references(wanted, manifests, labels, files, every=every)
    found = [ref for ref in references if files.position(ref.info.kind, str(ref.name)) is not None]
    for ref in references:
        if ref not in found and not ignore_not_found:
            raise _missing(ref, state_dir, config_dirs)
    state = StateDirectory(Path(state_dir))
    before = _stored(state)
    _refuse_suspended(state, [key for ref in found if (key := (ref.info.kind, str(ref.name))) in before])
    for ref in found:  # every one is checked before the first is removed
        file = files.remove(ref.info.kind, str(ref.name), force=force, dry_run=True)
        refuse_unread(settings, [file] if file is not None else [])
    for ref in found:
        file = files.remove(ref.info.kind, str(ref.name), force=force, dry_run=dry_run)
        click.echo(f"{full_name(ref.info.kind, str(ref.name))} deleted{' (dry run)' if dry_run else ''}")
        click.echo(f"  {plain(str(file))}", err=True)
    if not found:
        click.echo("No resources found", err=True)
    elif not dry_run and note_effect(settings):
        if running_sources(settings).get("prune") is False:
            raise click.ClickException(
                "dockerv6 runs with --no-prune: the files are removed, and networks and rules stay as they are until it"
                " runs without"
            )
        if waiting:
            clock = clock_of(ctx)
            look = _look(clock, before, AwaitedState(DELETE).describe_actual)
            wait_for(state, clock, tuple(found), AwaitedState(DELETE), timeout or None, look)


def _stored(state: StateDirectory) -> "Mapping[ResourceKey, StoredObject]":
    """All resources as the daemon knows them."""
    try:
        return {(each.kind, each.name): each for each in state.objects()}
    except StateFileMissingError:
        return {}


def _refuse_suspended(state: StateDirectory, keys: "list[ResourceKey]") -> None:
    """Refuse to delete what `dockerv6 suspend` suspended: its deletion would wait until it is resumed."""
    suspended = state.records(SUSPENDED) if keys else {}
    for kind, name in keys:
        if f"{kind}/{name}" in suspended:
            short = short_name(kind, name)
            raise click.ClickException(f"{short} is suspended: run `dockerv6 resume {short}` first")


def _look(
    clock: BlockingClock, before: "Mapping[ResourceKey, StoredObject]", describe: "Callable[[StoredObject], str]"
) -> "Callable[[Mapping[ResourceKey, StoredObject]], None]":
    """A function that ends the wait if it would never end, and prints why it lasts longer than the grace period."""
    started, printed = clock.monotonic(), dict[ResourceKey, str]()

    def look(left: "Mapping[ResourceKey, StoredObject]") -> None:
        for key, stored in left.items():
            obstacle = _obstacle(stored, before.get(key))
            if obstacle:
                raise click.ClickException(f"{short_name(*key)} is not deleted: {plain(obstacle)}")
            reason = plain(stored.problem_message) or describe(stored)
            if clock.monotonic() - started > _GRACE and printed.get(key) != reason:
                printed[key] = reason
                click.echo(f"waiting for {short_name(*key)}: {reason}", err=True)

    return look


def _obstacle(stored: "StoredObject", before: "StoredObject | None") -> str:
    """Why a resource stays unless somebody does something; "": it does not."""
    if stored.deleting_since is not None:
        return ""
    held = condition_of(stored, ConditionType.PRUNE_HELD)
    if held and stored.missing_since is not None:
        return str(held.get("message"))
    if before is not None and stored.file != before.file:
        return f"it is also defined at {stored.file}:{stored.line}; delete it again"
    return ""


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
    stored = _stored(StateDirectory(Path(state_dir))).get((ref.info.kind, str(ref.name)))
    if stored is None:
        return not_found(ref.info, str(ref.name))
    if stored.deleting_since is not None:
        return click.ClickException(
            f"{ref.info.singular}/{ref.name} has no file any more and is being deleted; see `dockerv6 describe"
            f" {ref.info.singular} {ref.name}`"
        )
    if not stored.file:
        return click.ClickException(f"{ref.info.singular}/{ref.name} was made by dockerv6 and has no file to remove")
    return click.ClickException(
        f"{ref.info.singular}/{ref.name} is in no file of {', '.join(config_dirs)}; its file was {stored.file}:"
        " select the directories of the daemon with --config-dir, or wait until it has noticed the deletion"
    )
