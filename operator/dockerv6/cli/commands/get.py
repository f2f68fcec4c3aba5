"""``dockerv6 get``: resources and their status."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli.options import ExampleCommand, clock_of, setting_option
from dockerv6.cli.printers.objects import RESOURCE_FORMATS, ObjectsByKind, ResourcePrinter, resources_text
from dockerv6.cli.printers.table import plain
from dockerv6.cli.selection import ResourceRef, complete, labels_of, not_found, parse_references, parse_selector
from dockerv6.cli.state import BlockingClock, StateDirectory, warn_if_stale
from dockerv6.store.model import StoredObject

if TYPE_CHECKING:
    from dockerv6.api.kinds import KindInfo

Matches = Callable[[Mapping[str, str]], bool]


@click.command(
    "get",
    cls=ExampleCommand,
    short_help="Show resources and their status.",
    examples=(
        "dockerv6 get v6net",
        "dockerv6 get v6net blog -o yaml",
        "dockerv6 get all -o wide",
        "dockerv6 get v6net -l app=blog -w",
    ),
)
@click.argument("wanted", metavar="KIND [NAME]...", nargs=-1, required=True, shell_complete=complete)
@click.option(
    "-o", "--output", type=click.Choice(RESOURCE_FORMATS), default="table", show_default=True, help="Output format."
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
@setting_option("state_dir")
@click.pass_context
def command(
    ctx: click.Context, *, wanted: tuple[str, ...], output: str, watch: bool, labels: str, state_dir: str
) -> None:
    """Show resources and their status. Without a running daemon, a warning tells how old they are.

    KIND is a plural, singular or short name (ipv6networks, ipv6network, v6net), or "all". KIND/NAME is accepted too.
    """
    references = parse_references(wanted)
    matches = parse_selector(labels)
    state = StateDirectory(Path(state_dir))
    clock = clock_of(ctx)
    warn_if_stale(state, clock)
    if watch:
        _follow(state, references, matches, ResourcePrinter(output, many_kinds=_many(references)), clock)
        return
    found = _read(state, references, matches)
    for problem in state.problems():
        click.echo(f"Warning: {plain(problem)}", err=True)
    _show(_grouped(found, references), references, output, clock.now())


def _read(state: StateDirectory, references: tuple[ResourceRef, ...], matches: Matches) -> tuple[StoredObject, ...]:
    """The referenced resources. A name that does not exist is an error, even when labels would exclude it."""
    only = references[0] if len(references) == 1 else None
    stored = state.objects(only.info.kind, only.name) if only else state.objects()
    by_key = {(each.kind, each.name): each for each in stored}
    found: dict[tuple[str, str], StoredObject] = {}
    for ref in references:
        kind, name = ref.info.kind, ref.name
        if name is not None and (kind, name) not in by_key:
            raise not_found(ref.info, name)
        found |= {key: each for key, each in by_key.items() if key[0] == kind and name in (None, key[1])}
    return tuple(each for each in found.values() if matches(labels_of(each)))


def _grouped(found: tuple[StoredObject, ...], references: tuple[ResourceRef, ...]) -> ObjectsByKind:
    kinds = dict.fromkeys(ref.info for ref in references)
    groups = [(info, [stored for stored in found if stored.kind == info.kind]) for info in kinds]
    return [(info, objects) for info, objects in groups if objects]


def _many(references: tuple[ResourceRef, ...]) -> bool:
    return len({ref.info.kind for ref in references}) > 1


def _show(found: ObjectsByKind, references: tuple[ResourceRef, ...], output: str, now: float) -> None:
    if output in ("json", "yaml"):
        single = len(references) == 1 and references[0].name is not None and bool(found)
        click.echo(resources_text(found, output, single=single))
        return
    if not found:
        click.echo("No resources found", err=True)
    printer = ResourcePrinter(output, many_kinds=_many(references))
    for index, (info, objects) in enumerate(found):
        if index and output != "name":
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

    def read() -> dict[tuple[str, str], StoredObject]:
        names = {(ref.info.kind, ref.name) for ref in references}
        return {
            (each.kind, each.name): each
            for each in state.objects()
            if names & {(each.kind, None), (each.kind, each.name)} and matches(labels_of(each))
        }

    before: dict[tuple[str, str], StoredObject] = {}
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
