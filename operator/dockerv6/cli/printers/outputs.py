"""What ``-o`` selects: a table, JSON, YAML, names, a JSONPath template or columns of one's own, as in kubectl."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dockerv6.api.errors import did_you_mean
from dockerv6.api.kinds import Column
from dockerv6.cli.printers.jsonpath import JSONPathTemplate, parse_path, parse_template
from dockerv6.cli.printers.jsonpath_parts import JSONPathError
from dockerv6.lib.text import escaped, escaped_json

JSONPATH, JSONPATH_JSON, JSONPATH_FILE = "jsonpath", "jsonpath-as-json", "jsonpath-file"
COLUMNS, COLUMNS_FILE = "custom-columns", "custom-columns-file"
TEMPLATED = (JSONPATH, JSONPATH_JSON, JSONPATH_FILE, COLUMNS, COLUMNS_FILE)
"""The formats that have an argument: ``-o jsonpath=TEMPLATE``."""

_EXAMPLES: Mapping[str, str] = {
    JSONPATH: "jsonpath='{.items[*].metadata.name}'",
    JSONPATH_JSON: "jsonpath-as-json='{.items[*].status}'",
    JSONPATH_FILE: "jsonpath-file=FILE",
    COLUMNS: "custom-columns=NAME:.metadata.name,SUBNET:.status.subnet",
    COLUMNS_FILE: "custom-columns-file=FILE",
}
_GO_TEMPLATES = frozenset({"go-template", "go-template-file", "template", "templatefile"})

_NUMBERS = r"(\d{1,18})"

_LONGEST_FILE = 1 << 20  # bytes; nobody writes as long a template


class Output(NamedTuple):
    """A format of ``-o``."""

    form: str
    template: JSONPathTemplate | None = None
    columns: tuple[Column, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all resources are one text: a List, or the resource itself."""
        return self.form in ("json", "yaml", JSONPATH, JSONPATH_JSON)


if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    _OutputParam = click.ParamType[Output]
else:
    _OutputParam = click.ParamType  # which is not generic in every version of click


class OutputType(_OutputParam):
    """click's type of ``-o``."""

    name = "output"

    def __init__(self, *forms: str) -> None:
        """Allow these formats, and those with an argument."""
        self._forms = forms

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:  # noqa: ARG002 - click's signature
        """``[json|yaml|jsonpath=…]``; the other formats with an argument are in docs/cli.md."""
        return f"[{'|'.join((*self._forms, *(f'{form}=…' for form in (JSONPATH, COLUMNS))))}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Output:  # noqa: ANN401 - click's signature
        """Parse the format. What is wrong is reported as wrong usage."""
        if isinstance(value, Output):
            return value
        form, equals, argument = str(value).partition("=")
        if form.casefold() in self._forms and not equals:
            return Output(form.casefold())
        if form in _GO_TEMPLATES:
            self.fail(f"{form} is not supported; write -o {_EXAMPLES[JSONPATH]}", param, ctx)
        if form not in TEMPLATED:
            names = (*self._forms, *TEMPLATED)
            self.fail(f"there is no format {form!r}; {did_you_mean(form, names)}", param, ctx)
        if not argument:
            self.fail(f"{form} needs an argument, such as -o {_EXAMPLES[form]}", param, ctx)
        try:
            return _templated(form, argument)
        except ValueError as error:
            self.fail(f"{error}", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":  # noqa: ARG002 - click's signature
        """The names of the formats."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - start-up is budgeted

        names = (*self._forms, *(f"{form}=" for form in TEMPLATED))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _templated(form: str, argument: str) -> Output:
    """Raises `ValueError`."""
    if form == JSONPATH_FILE:
        return Output(JSONPATH, parse_template(_read(argument)))
    if form == COLUMNS_FILE:
        return Output(COLUMNS, columns=_columns_of_file(_read(argument)))
    if form == COLUMNS:
        return Output(COLUMNS, columns=tuple(_column(each) for each in _split(argument)))
    if "{" not in argument:
        click.echo(
            f"Warning: the template has no {{…}}, so it is printed as it is; did you mean {_EXAMPLES[form]}?", err=True
        )
    return Output(form, parse_template(argument))


def _read(path: str) -> str:
    """Raises `ValueError`."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LONGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"can't read {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > _LONGEST_FILE:
        raise ValueError(f"{path} is longer than {_LONGEST_FILE} bytes; write a file with a template")
    return content.decode(errors="replace")


def _split(text: str) -> list[str]:
    """The parts between commas that are not within brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _column(text: str) -> Column:
    heading, colon, path = text.partition(":")
    if not colon or not heading.strip() or not path.strip():
        raise ValueError(f"{text!r} is not HEADING:PATH, such as NAME:.metadata.name")
    parse_path(path)  # an error here, not with the first resource
    return Column(heading.strip(), path)


def _columns_of_file(text: str) -> tuple[Column, ...]:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) != 2 or len(lines[0]) != len(lines[1]):  # noqa: PLR2004 - headings and paths
        raise ValueError("the file must have two lines: the headings, and as many paths below them")
    return tuple(_column(f"{heading}:{path}") for heading, path in zip(*lines, strict=True))


def rendered(documents: Sequence[Mapping[str, object]], output: Output, *, single: bool) -> str:
    """JSON, YAML or the result of a template, with its final newline if the format has one.

    The content is a List, or the document itself when ``single``.
    """
    items: list[object] = list(documents)
    content = documents[0] if single else {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}
    if output.template is None:
        return encode(content, output.form) + "\n"
    if output.form == JSONPATH_JSON:
        return encode(output.template.find(content), "json") + "\n"
    return printable(output.template.render(content))


def encode(value: object, form: str) -> str:
    """The value as ``json`` or ``yaml`` text without a final newline. Keys keep their order."""
    if form == "yaml":
        from dockerv6.cli.printers import core_yaml  # noqa: PLC0415 - only for -o yaml

        text = core_yaml.dump(value, allow_unicode=True)
        if any(escaped(line) != line for line in text.split("\n")):  # then as \u escapes, in double quotes
            text = core_yaml.dump(value, allow_unicode=False)
        return text.rstrip("\n")
    import json  # noqa: PLC0415 - only for -o json

    return escaped_json(json.dumps(value, indent=4, ensure_ascii=False))


def printable(text: str) -> str:
    """The text with its lines and tabs, and with escapes in place of what could change the terminal's state."""
    return "\n".join("\t".join(map(escaped, line.split("\t"))) for line in text.split("\n"))


def sorted_by(documents: Iterable[Mapping[str, object]], path: str) -> list[int]:
    """The indexes of documents in the order of the values at a path. Those without a value come first, as in kubectl.

    Raises:
        click.BadParameter: the path can't be parsed, or no document has a value there.
    """
    try:
        parsed = parse_path(path)
    except JSONPathError as error:
        raise click.BadParameter(str(error)) from None
    values = [parsed.first(each) for each in documents]
    if values and all(value is None for value in values):
        raise click.BadParameter(f"no resource has a value at {path!r}; see the fields with -o yaml")
    return sorted(range(len(values)), key=lambda index: _order(values[index]))


def _order(value: object) -> tuple[int, object]:
    """Nothing, then booleans and numbers, then text with its numbers in numerical order (net2 before net10)."""
    if value is None:
        return 0, 0
    if isinstance(value, bool | int | float):
        return 1, value
    return 2, [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(_NUMBERS, str(value)) if part]
