"""``dockerv6 get``: resources and their status."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli.namespaces import without_namespaces
from dockerv6.cli.options import ExampleCommand, clock_of, setting_option
from dockerv6.cli.printers.objects import RESOURCE_FORMATS, ResourcePrinter, TableOptions, document
from dockerv6.cli.printers.outputs import Output, OutputType, rendered, sorted_by
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import (
    ResourceKey,
    ResourceRef,
    complete,
    labels_of,
    not_found,
    parse_references,
    parse_selector,
)
from dockerv6.cli.state import BlockingClock, StateDirectory, warn_if_stale
from dockerv6.store.model import StoredObject

if TYPE_CHECKING:
    from dockerv6.api.kinds import KindInfo

Matches = Callable[[Mapping[str, str]], bool]
Selected = tuple[StoredObject, ...]

EVENTS = frozenset({"events", "event", "ev"})
"""kubectl's names of events, which the verb ``events`` shows."""


@click.command(
    "get",
    cls=ExampleCommand,
    short_help="Show resources and their status.",
    examples=(
        "dockerv6 get v6net",
        "dockerv6 get v6net blog -o yaml",
        "dockerv6 get all -o wide",
        "dockerv6 get v6net,v6pool --show-labels",
        "dockerv6 get v6net -l app=blog -w",
        "dockerv6 get v6net blog -o jsonpath='{.status.subnet}'",
        "dockerv6 get v6net --sort-by=.metadata.creationTimestamp --no-headers",
        "dockerv6 get v6net -o custom-columns=NAME:.metadata.name,SUBNET:.status.subnet",
        "dockerv6 get events",
    ),
)
@click.argument("wanted", metavar="KIND[,KIND]... [NAME]...", nargs=-1, required=True, shell_complete=complete)
@click.option(
    "-o", "--output", type=OutputType(*RESOURCE_FORMATS), default="table", show_default=True, help="Output format."
)
@click.option("-w", "--watch", is_flag=True, help="After the existing resources, print changes until Ctrl-C.")
@click.option(
    "-l",
    "--selector",
    "labels",
    metavar="SELECTOR",
    default="",
    help="Only resources whose labels match, such as app=blog,tier!=test.",
)
@click.option("--sort-by", metavar="PATH", help="Sort by the value at a JSONPath, such as .metadata.creationTimestamp.")
@click.option("--no-headers", is_flag=True, help="Print tables without headings.")
@click.option("--show-labels", is_flag=True, help="Add a column with all labels.")
@click.option("--show-kind", is_flag=True, help="Print names with their kind.")
@click.option(
    "-L",
    "--label-columns",
    metavar="KEY[,KEY]...",
    multiple=True,
    help="Add a column with the value of a label. Repeatable.",
)
@click.option("--ignore-not-found", is_flag=True, help="A name that does not exist is no error.")
@setting_option("state_dir")
@without_namespaces
@click.pass_context
def command(
    ctx: click.Context,
    *,
    wanted: tuple[str, ...],
    output: Output,
    watch: bool,
    labels: str,
    sort_by: str | None,
    no_headers: bool,
    show_labels: bool,
    show_kind: bool,
    label_columns: tuple[str, ...],
    ignore_not_found: bool,
    state_dir: str,
) -> None:
    """Show resources and their status. Without a running daemon, a warning shows how old they are.

    KIND is a plural, singular or short name (ipv6networks, ipv6network, v6net), or "all". KIND/NAME is accepted too,
    and "events" shows what `dockerv6 events` does.
    """
    if wanted[0].casefold() in EVENTS:
        from dockerv6.cli.commands import events  # noqa: PLC0415 - start-up is budgeted

        given = {
            "--selector": labels,
            "--show-labels": show_labels,
            "--show-kind": show_kind,
            "--label-columns": label_columns,
        }
        useless = [option for option, value in given.items() if value]
        if useless:
            raise click.UsageError(f"events have no labels, and all are of one kind: remove {', '.join(useless)}")
        ctx.invoke(
            events.command,
            wanted=wanted[1:],
            output=output,
            watch=watch,
            sort_by=sort_by,
            no_headers=no_headers,
            state_dir=state_dir,
        )
        return
    references = parse_references(wanted)
    matches = parse_selector(labels)
    columns = tuple(key for given in label_columns for key in given.split(",") if key)
    options = TableOptions(headings=not no_headers, labels=show_labels, label_columns=columns)
    printer = ResourcePrinter(output, options, many_kinds=show_kind or _many(references))
    state = StateDirectory(Path(state_dir))
    clock = clock_of(ctx)
    warn_if_stale(state, clock)
    if watch:
        if sort_by is not None:
            raise click.UsageError("--sort-by can't be used with --watch: changes are printed in their own order")
        _follow(state, references, matches, printer, clock)
        return
    found = _read(state, references, matches, missing_is_error=not ignore_not_found)
    for problem in (*state.problems(), *state.warnings()):
        click.echo(f"Warning: {plain(problem)}", err=True)
    if sort_by is not None:
        found = tuple(found[index] for index in sorted_by(map(document, found), sort_by))
    _show(found, references, output, printer, clock.now())


def _read(
    state: StateDirectory, references: tuple[ResourceRef, ...], matches: Matches, *, missing_is_error: bool = True
) -> Selected:
    """The referenced resources. A name that does not exist is an error, even when labels would exclude it."""
    only = references[0] if len(references) == 1 else None
    stored = state.objects(only.info.kind, only.name) if only else state.objects()
    by_key = {(each.kind, each.name): each for each in stored}
    found: dict[ResourceKey, StoredObject] = {}
    for ref in references:
        kind, name = ref.info.kind, ref.name
        if name is not None and (kind, name) not in by_key and missing_is_error:
            raise not_found(ref.info, name)
        found |= {key: each for key, each in by_key.items() if key[0] == kind and name in (None, key[1])}
    return tuple(each for each in found.values() if matches(labels_of(each)))


def _many(references: tuple[ResourceRef, ...]) -> bool:
    return len({ref.info.kind for ref in references}) > 1


def _show(
    found: Selected, references: tuple[ResourceRef, ...], output: Output, printer: ResourcePrinter, now: float
) -> None:
    if output.whole:
        named = len(references) == 1 and references[0].name is not None
        if found or not named:
            click.echo(rendered(list(map(document, found)), output, single=named), nl=False)
        return
    if not found:
        click.echo("No resources found", err=True)
    kinds = tuple(dict.fromkeys(ref.info for ref in references))
    tables = output.form in ("table", "wide")
    groups = [(info, [each for each in found if not tables or each.kind == info.kind]) for info in kinds]
    for index, (info, objects) in enumerate([group for group in groups if group[1]] if tables else groups[:1]):
        if index:
            click.echo()
        for line in printer.lines(info, objects, now):
            click.echo(line)


def _follow(
    state: StateDirectory,
    references: tuple[ResourceRef, ...],
    matches: Matches,
    printer: ResourcePrinter,
    clock: BlockingClock,
) -> None:
    """Print all resources, then every change, until Ctrl-C."""
    kinds: dict[str, KindInfo] = {ref.info.kind: ref.info for ref in references}
    _read(state, references, matches)  # an error for a name that does not exist at the start

    def read() -> dict[ResourceKey, StoredObject]:
        names = {(ref.info.kind, ref.name) for ref in references}
        return {
            (each.kind, each.name): each
            for each in state.objects()
            if names & {(each.kind, None), (each.kind, each.name)} and matches(labels_of(each))
        }

    before: dict[ResourceKey, StoredObject] = {}
    for present in state.watch(read, clock):
        for kind, info in kinds.items():
            changed = [each for key, each in present.items() if key[0] == kind and before.get(key) != each]
            deleted = [each for key, each in before.items() if key[0] == kind and key not in present]
            lines = printer.lines(info, changed, clock.now()) if changed else []
            for each in deleted:
                lines += printer.deleted(info, each, clock.now())
            for line in lines:
                click.echo(line)
        before = present
