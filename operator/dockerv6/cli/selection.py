"""The resources that a command line selects: kinds, names, labels, and their shell completion."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from dockerv6.api.kinds import GROUP, KINDS, NETWORK, KindInfo, UnknownKind, kind_info, resolve_kind
from dockerv6.cli.state import StateDirectory
from dockerv6.daemon.settings import Settings
from dockerv6.store.model import StoredObject

ResourceKey = tuple[str, str]
"""Kind and name."""

ALL = "all"
"""Selects every kind."""


@dataclass(frozen=True, slots=True)
class ResourceRef:
    """A resource, or without a name all resources of a kind."""

    info: KindInfo
    name: str | None = None


def parse_kind(text: str) -> KindInfo:
    """The kind of that name.

    Raises:
        click.BadParameter: there is none; the message has a suggestion.
    """
    try:
        return resolve_kind(text)
    except UnknownKind as error:
        raise click.BadParameter(str(error)) from None


def parse_references(words: Iterable[str]) -> tuple[ResourceRef, ...]:
    """The references of ``KIND[,KIND…] [NAME…]``, ``KIND/NAME …`` or ``all``.

    Raises:
        click.UsageError: the words have another form.
    """
    first, *rest = words
    if first.casefold() == ALL:
        if rest:
            raise click.UsageError(f"{ALL!r} takes no names: write a kind, or remove the names")
        return tuple(ResourceRef(info) for info in KINDS)
    if "/" in first:
        return tuple(_slashed(word) for word in (first, *rest))
    kinds = dict.fromkeys(_kinds(first))
    mixed = next((name for name in rest if "/" in name), None)
    if mixed is not None:
        raise click.UsageError(f"use either `{first} NAME …` or KIND/NAME, not both: {mixed!r}")
    return tuple(ResourceRef(info, name) for info in kinds for name in rest or (None,))


def _kinds(text: str) -> Iterator[KindInfo]:
    """The kinds of ``KIND,KIND``."""
    for word in text.split(","):
        if word.casefold() == ALL:
            yield from KINDS
        else:
            yield parse_kind(word)


def _slashed(word: str) -> ResourceRef:
    kind, slash, name = word.partition("/")
    if not slash or not name or "/" in name:
        raise click.UsageError(f"{word!r} is not KIND/NAME, such as ipv6network/blog")
    return ResourceRef(parse_kind(kind), name)


def singular(kind_name: str) -> str:
    """The singular of a kind, ``ipv6network``; of what is not a resource (``Host``) its name in lower case."""
    try:
        return kind_info(kind_name).singular
    except KeyError:
        return kind_name.casefold()


def short_name(kind_name: str, name: str) -> str:
    """``ipv6network/blog``."""
    return f"{singular(kind_name)}/{name}"


def full_name(kind_name: str, name: str) -> str:
    """``ipv6network.dockerv6.io/blog``, as ``-o name`` prints it."""
    return f"{singular(kind_name)}.{GROUP}/{name}"


def not_found(info: KindInfo, name: str) -> click.ClickException:
    """The error for a resource that does not exist."""
    return click.ClickException(f'{info.plural} "{name}" not found')


_REQUIREMENT = re.compile(
    r"\s*(?:"
    r"(?P<key>[^\s=!,()]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^\s=!,()]*)"
    r"|(?P<member>[^\s=!,()]+)\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|(?:(?P<absent>!)\s*)?(?P<present>[^\s=!,()]+)"
    r")\s*(?:,|$)"
)


def parse_selector(text: str) -> Callable[[Mapping[str, str]], bool]:
    """A label selector with kubectl's syntax: ``a=b,c!=d,e,!f,g in (h,i),j notin (k)``. All requirements must hold.

    Raises:
        click.BadParameter: the syntax is wrong.
    """
    requirements = []
    position = 0
    while position < len(text):
        match = _REQUIREMENT.match(text, position)
        if match is None:
            raise click.BadParameter(
                f"{text[position:]!r} is not a label selector; write one such as app=blog,tier!=test"
            )
        requirements.append(_requirement(match))
        position = match.end()
    return lambda labels: all(holds(labels) for holds in requirements)


def _requirement(match: re.Match[str]) -> Callable[[Mapping[str, str]], bool]:
    found = match.groupdict()
    if found["key"] is not None:
        key, value = found["key"], found["value"]
        if found["operator"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found["member"] is not None:
        member, values = found["member"], {value.strip() for value in found["values"].split(",")}
        if found["set"] == "notin":
            return lambda labels: labels.get(member) not in values
        return lambda labels: labels.get(member) in values
    present, wanted = found["present"], found["absent"] is None
    return lambda labels: (present in labels) is wanted


def labels_of(stored: StoredObject) -> Mapping[str, str]:
    """The resource's labels."""
    metadata = stored.document.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return labels if isinstance(labels, Mapping) else {}


def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete kinds, then the names in the state directory, and ``KIND/NAME``."""
    given = context.params.get(parameter.name or "") or ()
    words = [given] if isinstance(given, str) else list(given)
    try:
        if words and "/" not in words[0]:
            return [name for name in _names(context, resolve_kind(words[0])) if name.startswith(incomplete)]
        if "/" in incomplete:
            before, _, start = incomplete.partition("/")
            known = _names(context, resolve_kind(before))
            return [f"{before}/{name}" for name in known if name.startswith(start)]
    except Exception:  # noqa: BLE001 - completion can't report an error
        return []
    return [info.plural for info in KINDS if info.plural.startswith(incomplete)]


def complete_networks(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the names of IPv6Networks in the state directory."""
    try:
        return [name for name in _names(context, resolve_kind(NETWORK)) if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - completion can't report an error
        return []


def _names(context: click.Context, info: KindInfo) -> list[str]:
    directory = context.params.get("state_dir") or Settings().state_dir
    return [stored.name for stored in StateDirectory(Path(directory)).objects(info.kind)]
