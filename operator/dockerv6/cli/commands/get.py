"""``dockerv6 get``: resources and how they are."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.cli import options
from dockerv6.cli.printers.resources import FORMATS, Printed, ResourcePrinter, whole
from dockerv6.cli.state import State
from dockerv6.cli.targets import Target, complete, labels_of, not_found, selector, targets
from dockerv6.cli.times import Time
from dockerv6.cli.verb import Verb
from dockerv6.store.model import StoredObject

if TYPE_CHECKING:
    from dockerv6.api.kinds import KindInfo

Matches = Callable[[Mapping[str, str]], bool]


@click.command(
    "get",
    cls=Verb,
    short_help="Show resources and how they are.",
    examples=(
        "dockerv6 get v6net",
        "dockerv6 get v6net blog -o yaml",
        "dockerv6 get all -o wide",
        "dockerv6 get v6net -l app=blog -w",
    ),
)
@click.argument("wanted", metavar="KIND [NAME]...", nargs=-1, required=True, shell_complete=complete)
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="How resources are shown."
)
@click.option("-w", "--watch", is_flag=True, help="Go on to show what changes, until Ctrl-C.")
@click.option(
    "-l", "--selector", "labels", metavar="SELECTOR", default="", help="Only these labels: app=blog,tier!=test"
)
@options.state_dir
@click.pass_context
def command(
    ctx: click.Context, *, wanted: tuple[str, ...], output: str, watch: bool, labels: str, state_dir: str
) -> None:
    """Show resources and how they are, whether the daemon runs or not.

    KIND is a plural, singular or short name (ipv6networks, ipv6network, v6net), or "all". KIND/NAME works as well.
    """
    asked = targets(wanted)
    matches = selector(labels)
    state = State(Path(state_dir))
    time = options.time_of(ctx)
    if watch:
        _follow(state, asked, matches, ResourcePrinter(output, many_kinds=_many(asked)), time)
        return
    _show(_grouped(_read(state, asked, matches), asked), asked, output, time.now())


def _read(state: State, asked: tuple[Target, ...], matches: Matches) -> tuple[StoredObject, ...]:
    """What is asked for; a name that is not there is an error, unless labels are asked for as well."""
    only = asked[0] if len(asked) == 1 else None
    stored = state.objects(only.info.kind, only.name) if only else state.objects()
    by_key = {(each.kind, each.name): each for each in stored}
    found: dict[tuple[str, str], StoredObject] = {}
    for target in asked:
        kind, name = target.info.kind, target.name
        if name is not None and (kind, name) not in by_key:
            raise not_found(target.info, name)
        found |= {key: each for key, each in by_key.items() if key[0] == kind and name in (None, key[1])}
    return tuple(each for each in found.values() if matches(labels_of(each)))


def _grouped(found: tuple[StoredObject, ...], asked: tuple[Target, ...]) -> Printed:
    kinds = dict.fromkeys(target.info for target in asked)
    groups = [(info, [stored for stored in found if stored.kind == info.kind]) for info in kinds]
    return [(info, objects) for info, objects in groups if objects]


def _many(asked: tuple[Target, ...]) -> bool:
    return len({target.info.kind for target in asked}) > 1


def _show(found: Printed, asked: tuple[Target, ...], output: str, now: float) -> None:
    if output in ("json", "yaml"):
        single = len(asked) == 1 and asked[0].name is not None and bool(found)
        click.echo(whole(found, output, single=single))
        return
    if not found:
        click.echo("No resources found", err=True)
    printer = ResourcePrinter(output, many_kinds=_many(asked))
    for index, (info, objects) in enumerate(found):
        if index and output != "name":
            click.echo()
        for line in printer.lines(info, objects, now):
            click.echo(line)


def _follow(state: State, asked: tuple[Target, ...], matches: Matches, printer: ResourcePrinter, time: Time) -> None:
    """Print everything once, and then what differs from what was printed. Ends with Ctrl-C."""
    kinds: dict[str, KindInfo] = {target.info.kind: target.info for target in asked}
    _read(state, asked, matches)  # a name that is not there is an error now, and none once it is deleted

    def read() -> dict[tuple[str, str], StoredObject]:
        names = {(target.info.kind, target.name) for target in asked}
        return {
            (each.kind, each.name): each
            for each in state.objects()
            if names & {(each.kind, None), (each.kind, each.name)} and matches(labels_of(each))
        }

    before: dict[tuple[str, str], StoredObject] = {}
    for present in state.watch(read, time):
        for kind, info in kinds.items():
            changed = [each for key, each in present.items() if key[0] == kind and before.get(key) != each]
            gone = [each for key, each in before.items() if key[0] == kind and key not in present]
            lines = printer.lines(info, changed, time.now()) if changed else []
            for each in gone:
                lines += printer.gone(info, each, time.now())
            for line in lines:
                click.echo(line)
        before = present
