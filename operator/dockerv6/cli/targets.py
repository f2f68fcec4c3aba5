"""Which resources a command line means: kinds, names, labels, and their completion in a shell."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockerv6.api.kinds import GROUP, KINDS, KindInfo, UnknownKind, kind_info, resolve_kind

if TYPE_CHECKING:
    from dockerv6.store.model import StoredObject

ALL = "all"
"""In a kind's place: every kind."""


@dataclass(frozen=True, slots=True)
class Target:
    """A resource, or, without a name, all of a kind."""

    info: KindInfo
    name: str | None = None


def kind(text: str) -> KindInfo:
    """The kind that is meant.

    Raises:
        click.BadParameter: there is none; says which was probably meant.
    """
    try:
        return resolve_kind(text)
    except UnknownKind as error:
        raise click.BadParameter(str(error)) from None


def targets(words: Iterable[str]) -> tuple[Target, ...]:
    """What ``KIND [NAME…]``, ``KIND/NAME …`` or ``all`` means.

    Raises:
        click.UsageError: it is none of these.
    """
    first, *rest = words
    if first.casefold() == ALL:
        if rest:
            raise click.UsageError(f"names don't go with {ALL!r}: write a kind, or leave the names out")
        return tuple(Target(info) for info in KINDS)
    if "/" in first:
        return tuple(_slashed(word) for word in (first, *rest))
    info = kind(first)
    stray = next((name for name in rest if "/" in name), None)
    if stray is not None:
        raise click.UsageError(f"write either `{first} NAME …` or KIND/NAME everywhere, not both: {stray!r}")
    return tuple(Target(info, name) for name in rest) or (Target(info),)


def _slashed(word: str) -> Target:
    named, slash, name = word.partition("/")
    if not slash or not name or "/" in name:
        raise click.UsageError(f"{word!r} is not KIND/NAME, such as ipv6network/blog")
    return Target(kind(named), name)


def singular(kind_name: str) -> str:
    """The kind as it stands before a name: ``ipv6network``; what is no resource (``Host``) in lower case."""
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
    """The error for a resource that is not there."""
    return click.ClickException(f'{info.plural} "{name}" not found')


_REQUIREMENT = re.compile(
    r"\s*(?:"
    r"(?P<key>[^\s=!,()]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^\s=!,()]*)"
    r"|(?P<member>[^\s=!,()]+)\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|(?P<absent>!)?\s*(?P<present>[^\s=!,()]+)"
    r")\s*(?:,|$)"
)


def selector(text: str) -> Callable[[Mapping[str, str]], bool]:
    """A label selector as kubectl has it: ``a=b,c!=d,e,!f,g in (h,i),j notin (k)``; all parts must hold.

    Raises:
        click.BadParameter: it is none.
    """
    requirements = []
    position = 0
    while position < len(text):
        match = _REQUIREMENT.match(text, position)
        if match is None:
            raise click.BadParameter(f"{text[position:]!r} is no label selector; write one such as app=blog,tier!=test")
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


def labels_of(stored: "StoredObject") -> Mapping[str, str]:
    """The resource's labels."""
    metadata = stored.document.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return labels if isinstance(labels, Mapping) else {}


def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Kinds, and then the names that the state directory knows; also ``KIND/NAME``."""
    given = context.params.get(parameter.name or "") or ()
    words = [given] if isinstance(given, str) else list(given)
    try:
        if words and "/" not in words[0]:
            return [name for name in _names(context, resolve_kind(words[0])) if name.startswith(incomplete)]
        if "/" in incomplete:
            before, _, start = incomplete.partition("/")
            known = _names(context, resolve_kind(before))
            return [f"{before}/{name}" for name in known if name.startswith(start)]
    except Exception:  # noqa: BLE001 - a shell's completion has nowhere to tell an error
        return []
    return [info.plural for info in KINDS if info.plural.startswith(incomplete)]


def _names(context: click.Context, info: KindInfo) -> list[str]:
    from dockerv6.cli.state import State  # noqa: PLC0415 - only for completion

    directory = context.params.get("state_dir") or "/var/lib/dockerv6"
    return [stored.name for stored in State(Path(directory)).objects(info.kind)]
