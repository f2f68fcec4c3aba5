"""Write docs/reference.md: the fields of all resources, from the models.

`python -m scripts.resources_page` writes it; a test fails when it is stale.
"""  # noqa: INP001

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import EnumMeta, StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, cast, get_args, get_origin

from dockerv6.api.kinds import API_VERSION, KINDS, KindInfo
from dockerv6.api.meta import Model
from dockerv6.api.options import DRIVER_OPTIONS
from dockerv6.api.scheme import MODELS
from dockerv6.lib.networking import InterfaceName

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_WORDS = {
    str: "string",
    InterfaceName: "interface name",
    int: "integer",
    bool: "boolean",
    float: "duration",
    IPv6Address: "IPv6 address",
    IPv6Network: "IPv6 prefix",
    IPv4Address: "IPv4 address",
    IPv4Network: "IPv4 prefix",
}

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"

_INTRODUCTION = f"""\
<!-- Generated from the models by `python -m scripts.resources_page`; do not edit. -->

# Resource reference

Every resource has `apiVersion: {API_VERSION}`, a `kind`, a `metadata.name` and a `spec`. Fields are optional unless
marked as required; a null is the same as leaving out the field. dockerv6 writes `status` and ignores it in a file.
"""


def page() -> str:
    """The text of the page."""
    written: dict[type[Model], str] = {}
    parts = [_INTRODUCTION]
    for info in KINDS:
        parts += _kind(info, written)
    parts += _options()
    return "\n".join(parts)


def _kind(info: KindInfo, written: dict[type[Model], str]) -> Iterator[str]:
    model = MODELS[info.kind]
    yield f"## {info.kind}\n"
    yield f"{_docstring(model)}\n"
    yield f"Names on the command line: {', '.join(f'`{name}`' for name in info.names)}.\n"
    for name, field in model.model_fields.items():
        yield from _block(name, _nested(field.annotation), info.kind, written)


def _block(path: str, model: type[Model] | None, kind: str, written: dict[type[Model], str]) -> Iterator[str]:
    if model is None:
        return
    yield f"### {kind}: `{path}`\n"
    if model in written:
        yield f"The same as {written[model]}.\n"
        return
    written[model] = f"`{path}` of {kind}"
    yield f"{_docstring(model)}\n"
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for name, field in model.model_fields.items():
        yield _row(field.alias or name, field)
    yield ""
    for name, field in model.model_fields.items():
        suffix = "[]" if get_origin(field.annotation) is tuple else ""
        yield from _block(f"{path}.{field.alias or name}{suffix}", _nested(field.annotation), kind, written)


def _row(name: str, field: FieldInfo) -> str:
    required = " **Required.**" if field.is_required() else ""
    description = (field.description or "").replace("|", "\\|")
    return f"| `{name}` | {_type(field.annotation)} | {description}{required} |"


def _type(annotation: object) -> str:
    origin = get_origin(annotation)
    arguments = [argument for argument in get_args(annotation) if argument not in {NoneType, Ellipsis}]
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is Mapping:
        return "map of string to string"
    if arguments:  # X | None, or Annotated
        return _type(arguments[0])
    return _plain(annotation)


def _plain(annotation: object) -> str:
    if isinstance(annotation, EnumMeta):
        return "one of " + ", ".join(f"`{word}`" for word in cast("type[StrEnum]", annotation))
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return "mapping, see below"
    return next(word for type_, word in _WORDS.items() if annotation is type_)


def _nested(annotation: object) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((model for argument in get_args(annotation) if (model := _nested(argument)) is not None), None)


def _docstring(model: type[Model]) -> str:
    return " ".join((model.__doc__ or "").split())


def _options() -> Iterator[str]:
    yield "## Raw driver options\n"
    yield (
        "Options that `spec.options` of an IPv6Network accepts. Options with other prefixes (`org.example.x`) are "
        "passed to the driver unchecked.\n"
    )
    yield "| driver | option |"
    yield "|---|---|"
    for driver, options in DRIVER_OPTIONS.items():
        for name in sorted(options):
            yield f"| {driver} | `{name}` |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
