"""``dockerv6 explain``: the fields of resources, from the models."""

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, cast

import click
from click.shell_completion import CompletionItem

from dockerv6.api.errors import did_you_mean
from dockerv6.api.kinds import GROUP, KINDS, VERSION, KindInfo
from dockerv6.cli.options import ExampleCommand
from dockerv6.cli.selection import parse_kind

if TYPE_CHECKING:
    from dockerv6.api.crd import JsonSchema

_WIDTH = 100
_MAX_DEPTH = 32


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete kinds, then the fields below what is written."""
    del ctx, param
    before, dot, start = incomplete.rpartition(".")
    if not dot:
        return [CompletionItem(info.plural) for info in KINDS if info.plural.startswith(start)]
    try:
        _, schema = _resolve(before)
    except (click.ClickException, KeyError):
        return []
    return [CompletionItem(f"{before}.{name}") for name in _fields(schema) if name.startswith(start)]


@click.command(
    "explain",
    cls=ExampleCommand,
    short_help="Explain the fields of resources.",
    examples=(
        "dockerv6 explain v6net",
        "dockerv6 explain v6net.spec.egress",
        "dockerv6 explain v6pool.spec --recursive",
    ),
)
@click.argument("path", metavar="KIND[.FIELD]...", shell_complete=complete)
@click.option("--recursive", is_flag=True, help="Print the names and types of all fields below.")
def command(*, path: str, recursive: bool) -> None:
    """Print the meaning, the type and the fields of a kind or of a field. No daemon is needed.

    KIND is a plural, singular or short name. docs/reference.md has the same in one page.
    """
    info, schema = _resolve(path)
    for line in explanation(info, path, schema, recursive=recursive):
        click.echo(line)


def explanation(info: KindInfo, path: str, schema: "JsonSchema", *, recursive: bool) -> Iterator[str]:
    """The lines, with kubectl's headings."""
    yield from (f"GROUP:      {GROUP}", f"KIND:       {info.kind}", f"VERSION:    {VERSION}", "")
    names = path.split(".")[1:]
    if names:
        yield from (f"FIELD: {names[-1]} <{_type(schema)}>{_required(schema)}", *_enum(schema, ""), "")
    yield "DESCRIPTION:"
    yield from _text(schema, "    ")
    fields = _fields(schema)
    if fields:
        yield from ("", "FIELDS:")
    if recursive:
        yield from _tree(fields, "  ", 0)
        return
    for name, field in fields.items():
        yield f"  {name}\t<{_type(field)}>{_required(field)}"
        yield from _enum(field, "  ")
        yield from (*_text(field, "    "), "")


def _tree(fields: "Mapping[str, JsonSchema]", indent: str, depth: int) -> Iterator[str]:
    for name, field in fields.items():
        yield f"{indent}{name}\t<{_type(field)}>{_required(field)}"
        if depth < _MAX_DEPTH:
            yield from _tree(_fields(field), f"{indent}  ", depth + 1)


def _resolve(path: str) -> "tuple[KindInfo, JsonSchema]":
    """The kind, and the schema of the kind or of one of its fields.

    Raises:
        click.BadParameter: there is no such kind.
        click.ClickException: there is no such field.
    """
    kind, *names = path.removesuffix(".").split(".")
    info = parse_kind(kind)
    schema, known = _kind_schema(info), info.singular
    for name in names:
        fields = _fields(schema)
        # as written in files, and as kubectl's users write elements of lists: ports[]
        found = next((each for each in fields if each.casefold() == name.removesuffix("[]").casefold()), None)
        if found is None:
            remedy = did_you_mean(name, fields) if fields else "it has no fields"
            raise click.ClickException(f"{known} has no field {name!r}; {remedy}")
        schema, known = fields[found], f"{known}.{found}"
    return info, schema


def _kind_schema(info: KindInfo) -> "JsonSchema":
    from dockerv6.api.crd import status_schema, structural  # noqa: PLC0415 - loads the models
    from dockerv6.api.scheme import MODELS  # noqa: PLC0415 - as above

    whole = structural(MODELS[info.kind])
    status = status_schema(info.kind)
    text = {"type": "string"}
    envelope = {
        "apiVersion": text | {"description": f"Always {GROUP}/{VERSION}."},
        "kind": text | {"description": f"Always {info.kind}."},
    }
    properties = {**envelope, **cast("Mapping[str, JsonSchema]", whole["properties"]), "status": status}
    return {**whole, "properties": properties, "required": ["apiVersion", "kind", "metadata"]}


def _fields(schema: "JsonSchema") -> "dict[str, JsonSchema]":
    """The fields of a mapping, or of the items of a list, each with whether it is required."""
    inner = cast("JsonSchema", schema.get("items", schema))
    required = cast("list[str]", inner.get("required", []))
    properties = cast("Mapping[str, JsonSchema]", inner.get("properties", {}))
    return {name: {**field, "x-required": name in required} for name, field in properties.items()}


def _type(schema: "JsonSchema") -> str:
    """``string``, ``[]Object``, ``map[string]string``."""
    if "items" in schema:
        return f"[]{_type(cast('JsonSchema', schema['items']))}"
    if "additionalProperties" in schema:
        return f"map[string]{_type(cast('JsonSchema', schema['additionalProperties']))}"
    kind = str(schema.get("type", "any"))
    return "Object" if kind == "object" else kind


def _required(schema: "JsonSchema") -> str:
    return " -required-" if schema.get("x-required") else ""


def _enum(schema: "JsonSchema", indent: str) -> Iterator[str]:
    values = schema.get("enum", cast("JsonSchema", schema.get("items", {})).get("enum"))
    if isinstance(values, list):
        yield f"{indent}enum: {', '.join(map(str, values))}"


def _text(schema: "JsonSchema", indent: str) -> list[str]:
    inner = cast("JsonSchema", schema.get("items", {}))
    described = schema.get("description") or inner.get("description") or "<no description>"
    text = " ".join(str(described).replace("`", "").split())
    return wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
