"""The YAML reader against the writers of PyYAML and of the standard library, and with arbitrary text."""

import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.source import yaml_text
from dockerv6.source.core_schema import plain_value
from dockerv6.source.documents import load_text
from dockerv6.source.yaml import parse
from dockerv6.source.yaml_document import Document
from dockerv6.source.yaml_text import UnreadableText, json_to_yaml, split_lines

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
PRINTABLE = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Zl", "Zp")), max_size=30)


def documents(text: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
        max_leaves=25,
    )


def only(text: str) -> Document:
    [document] = parse("f", text)
    assert document.problems == ()
    return document


def types(value: object) -> object:
    """The value with the type of every scalar, because True, 1 and 1.0 are equal."""
    if isinstance(value, dict):
        return {key: types(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [types(inner) for inner in value]
    return type(value), value


@given(documents(TEXT), st.booleans(), st.sampled_from([None, 2, "\t"]))
def test_json_is_read_as_written(value: object, ascii_only: bool, indent: int | str | None) -> None:  # noqa: FBT001
    text = json.dumps({"top": value}, ensure_ascii=ascii_only, indent=indent)
    if "Infinity" not in text:
        assert types(only(json_to_yaml(text)).value) == types({"top": value})


@given(documents(PRINTABLE), st.booleans())
def test_quoted_yaml_is_read_as_it_was_written(value: object, flow: bool) -> None:  # noqa: FBT001
    text = yaml.safe_dump({"top": value}, default_style='"', default_flow_style=flow, allow_unicode=True, width=10**6)
    assert types(only(text).value) == types({"top": value})


def is_plain(value: object) -> bool:
    """Whether YAML 1.2 reads every string as a string: PyYAML quotes only what YAML 1.1 reads as another type."""
    if isinstance(value, dict):
        return all(is_plain(key) and is_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    return not isinstance(value, str) or isinstance(plain_value(value), str)


@given(documents(PRINTABLE).filter(is_plain), st.booleans())
def test_plain_yaml_is_read_as_it_was_written(value: object, flow: bool) -> None:  # noqa: FBT001
    text = yaml.safe_dump({"top": value}, default_flow_style=flow, allow_unicode=True)
    assert types(only(text).value) == types({"top": value})


@given(documents(PRINTABLE))
def test_aliases_are_read_as_their_anchor(value: object) -> None:
    text = yaml.safe_dump({"one": value, "two": value, "three": [value]}, default_style='"')
    assert types(only(text).value) == types({"one": value, "two": value, "three": [value]})


SNIPPETS = st.sampled_from(
    [
        *("apiVersion: dockerv6.io/v1alpha1\n", "kind: IPv6Network\n", "metadata: {name: a}\n", "spec:\n", "  a: 1\n"),
        *("---\n", "...\n", "- ", "? ", ": ", "&a ", "*a ", "<<: ", "[", "]", "{", "}", "!!str ", "!x ", "|\n", ">-\n"),
        *(
            "'",
            '"',
            "\t",
            " ",
            "\n",
            "#",
            "%",
            "@",
            "`",
            "\\",
            "\r",
            "\x85",
            "\u2028",
            "\ufeff",
            "é",
            "😀",
            "\0",
            "\x1b",
        ),
        *(
            "kind: List\n",
            "items:\n",
            "apiVersion: v1\n",
            "null",
            "true",
            "1e999",
            "0x",
            "~",
            "%YAML 1.2\n",
            ",",
            "\x1b",
        ),
    ]
)
ARBITRARY = st.text() | st.lists(SNIPPETS, max_size=30).map("".join)


def within(text: str, line: int, column: int) -> bool:
    lines = split_lines(text.removeprefix("\ufeff"))
    return 1 <= line <= len(lines) and 1 <= column <= len(lines[line - 1]) + 1


@given(ARBITRARY)
def test_arbitrary_text_only_causes_diagnostics_with_positions_in_it(text: str) -> None:
    contents = load_text("f.yaml", text)
    for found in contents.diagnostics:
        assert within(text, found.position.line, found.position.column)
        assert found.message
    positions = [item.position for item in contents.resources] + [item.position for item in contents.invalid]
    assert all(within(text, position.line, position.column) for position in positions)
    if contents.broken:
        assert contents.diagnostics


@given(
    st.binary() | ARBITRARY.map(lambda text: text.encode(errors="surrogatepass")), st.sampled_from(["f.yaml", "f.json"])
)
def test_arbitrary_bytes_only_cause_diagnostics(content: bytes, file: str) -> None:
    assert load_text(file, content) == load_text(file, content)


@given(ARBITRARY.filter(lambda text: "\ufeff" not in text))
def test_both_parsers_agree(text: str) -> None:
    """Both parsers read the same from every text that both accept, unless it contains a byte order mark."""
    try:
        pure = list(read(text, yaml_text._pure))
        compiled = list(read(text, yaml_text._compiled))
    except yaml.YAMLError:
        return
    assert repr(pure) == repr(compiled)


def read(text: str, opened: object) -> list[object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dockerv6.source.yaml.open_events", opened)
        try:
            return [document.value for document in parse("f", text)]
        except UnreadableText as error:
            raise yaml.YAMLError from error


@given(TEXT)
def test_every_scalar_has_a_value(text: str) -> None:
    value = plain_value(text)
    assert value is None or isinstance(value, str | int | float)
    if isinstance(value, str):
        assert value == text
    elif isinstance(value, float) and not math.isnan(value):
        assert text


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_they_were_written(integer: int, number: float) -> None:
    assert plain_value(str(integer)) == integer
    assert plain_value(hex(abs(integer))) == abs(integer)
    assert plain_value(oct(abs(integer))) == abs(integer)
    assert plain_value(repr(number)) == number
