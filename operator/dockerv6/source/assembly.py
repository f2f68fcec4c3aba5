"""Many files' contents to one snapshot, with every kind and name in it once. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from dockerv6.source.documents import FileContents
from dockerv6.source.model import (
    Diagnostic,
    InvalidResource,
    Position,
    Severity,
    Snapshot,
    SourcedResource,
    SourceRoot,
)


def assemble(
    roots: Sequence[SourceRoot],
    files: Mapping[str, FileContents],
    *,
    problems: Mapping[str, Iterable[str]],
    unsettled: Iterable[str] = (),
    retry_after: float | None = None,
) -> Snapshot:
    """Put files together.

    Of several resources with one kind and name the first stays, in the order of `files` and then of lines; the later
    ones become invalid and say where the first is. One that is invalid itself holds its name all the same: which of
    the two is meant can't be told.

    Args:
        roots: as they were found.
        files: contents by path, in the order of precedence.
        problems: of roots, by path: what a person has to mend before they can be listed.
        unsettled: files that are still being written.
        retry_after: seconds until the first of them may be at rest.
    """
    resources: list[SourcedResource] = []
    invalid: list[InvalidResource] = []
    diagnostics = [
        Diagnostic(Position(path), Severity.ERROR, "", problem) for path, found in problems.items() for problem in found
    ]
    first: dict[tuple[str, str], Position] = {}
    for contents in files.values():
        diagnostics.extend(contents.diagnostics)
        items: list[SourcedResource | InvalidResource] = [*contents.resources, *contents.invalid]
        for item in sorted(items, key=_position):
            claim = _claim(item)
            holder = first.setdefault(claim, item.position) if all(claim) else item.position
            found = () if holder is item.position else (_duplicate(claim, item.position, holder),)
            diagnostics.extend(found)
            if isinstance(item, SourcedResource) and not found:
                resources.append(item)
            else:
                earlier = () if isinstance(item, SourcedResource) else item.diagnostics
                invalid.append(InvalidResource(*claim, item.position, (*earlier, *found)))
    return Snapshot(
        roots=tuple(roots),
        resources=tuple(resources),
        invalid=tuple(invalid),
        broken_files=tuple(path for path, contents in files.items() if contents.broken),
        changing_files=tuple(unsettled),
        retry_after=retry_after,
        diagnostics=tuple(sorted(diagnostics)),
    )


def _position(item: SourcedResource | InvalidResource) -> Position:
    return item.position


def _claim(item: SourcedResource | InvalidResource) -> tuple[str, str]:
    if isinstance(item, SourcedResource):
        return item.resource.kind, item.resource.metadata.name
    return item.kind, item.name


def _duplicate(claim: tuple[str, str], position: Position, first: Position) -> Diagnostic:
    kind, name = claim
    message = f"{kind} {name!r} is already written at {first}"
    return Diagnostic(position, Severity.ERROR, "metadata.name", message, "remove one of them, or give it another name")
