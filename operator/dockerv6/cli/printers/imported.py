"""The result of ``import``: resources as YAML with comments, or JSON, and a summary."""

from collections.abc import Iterable, Iterator
from textwrap import wrap

from dockerv6.cli.printers.outputs import encode
from dockerv6.cli.printers.table import plain
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.importing.model import Import, ImportedNetwork, ImportedPolicy, ImportedResource, ImportNote

_WIDTH = 118


def import_text(found: Import, form: str) -> str:
    """All resources as one text that is valid as a resource file; in JSON without comments."""
    if form == "json":
        return encode(
            {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [each.document for each in found.resources]},
            "json",
        )
    left_out = (_comments(_about(each), each.example) for each in found.networks if each.resource is None)
    return "\n---\n".join([*resource_texts(found), *left_out])


def resource_texts(found: Import) -> list[str]:
    """A YAML text for each of `Import.resources`, with what was not carried over in comments above."""
    texts = []
    if found.policy is not None:
        texts.append(_commented(_about_policy(found.policy), found.policy.resource))
    texts += [_commented(_about(each), each.resource) for each in found.networks if each.resource is not None]
    return texts


def summary(found: Import, *, examples: bool) -> Iterator[str]:
    """What became of each network, in lines. ``examples``: with the resources that could be used instead."""
    if found.policy is not None:
        yield from _listed(f"{', '.join(found.policy.networks)}: {found.policy.resource}", found.policy.notes)
    for each in found.networks:
        if each.resource is None:
            yield plain(f"{each.network}: not imported: {each.skipped}")
            yield from _items(each.notes)
            if examples and each.example is not None:
                yield from (f"    {line}" for line in encode(each.example.document, "yaml").split("\n"))
            continue
        yield from _listed(f"{each.network}: {each.resource}", each.notes)
        yield from (f"  {plain(line)}" for line in _recreation(each))
    yield _total(found)


def _total(found: Import) -> str:
    skipped = sum(each.resource is None for each in found.networks)
    served = sum(each.resource is not None for each in found.networks)
    served += len(found.policy.networks) if found.policy is not None else 0
    again = sum(bool(each.recreation) for each in found.networks)
    text = f"{_networks(served)} in {_count(len(found.resources), 'resource')}, {skipped} not imported"
    if again:
        return f"{text}; {_networks(again)} would be created again, once you remove the present one: see above"
    return f"{text}; no Docker network is created, changed or removed by applying this" if served else text


def _networks(count: int) -> str:
    return _count(count, "Docker network")


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _about_policy(policy: ImportedPolicy) -> Iterator[str]:
    yield f"Instead of docker-ipv6nat. Docker networks that it applies to now: {', '.join(policy.networks)}"
    yield from map(str, policy.notes)


def _about(each: ImportedNetwork) -> Iterator[str]:
    if each.resource is None:
        yield f"Docker network {each.network}: not imported: {each.skipped}"
    else:
        yield f"Docker network {each.network}"
    yield from map(str, each.notes)
    yield from _recreation(each)


def _recreation(each: ImportedNetwork) -> Iterator[str]:
    if not each.recreation:
        return
    name = shell_quoted(each.network)
    consequence = (
        f"This disconnects {', '.join(each.disconnected)}" if each.disconnected else "No running container is on it"
    )
    yield f"It has to be created again: docker network rm {name}, then dockerv6 apply. {consequence}. What differs:"
    yield from (f"  {why}" for why in each.recreation)


def _commented(lines: Iterable[str], resource: ImportedResource) -> str:
    return f"{_comments(lines)}\n{encode(resource.document, 'yaml')}"


def _comments(lines: Iterable[str], example: ImportedResource | None = None) -> str:
    """The lines, and the example, as comments without characters that could end a comment."""
    found = []
    for line in map(plain, lines):
        indent = line[: len(line) - len(line.lstrip())]
        found += wrap(line, _WIDTH, subsequent_indent=f"{indent}  ", break_on_hyphens=False)
    if example is not None:
        found += ["", *encode(example.document, "yaml").split("\n")]
    return "\n".join(f"# {line}".rstrip() for line in found)


def _listed(title: str, notes: Iterable[ImportNote]) -> Iterator[str]:
    yield plain(title)
    yield from _items(notes)


def _items(notes: Iterable[ImportNote]) -> Iterator[str]:
    yield from (f"  - {plain(str(note))}" for note in notes)
