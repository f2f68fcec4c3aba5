import json

import pytest
import yaml

from dockerv6.source import yaml_text
from dockerv6.source.files import MAX_BYTES
from dockerv6.source.model import Position
from dockerv6.source.yaml import parse
from dockerv6.source.yaml_text import UnreadableText, decode_text, json_to_yaml, line_and_column


def test_utf8_with_and_without_byte_order_mark() -> None:
    assert decode_text("f", "ä: 1".encode()) == "ä: 1"
    assert decode_text("f", "ä: 1".encode("utf-8-sig")) == "ä: 1"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_unicode_encodings_are_named(encoding: str) -> None:
    with pytest.raises(UnreadableText, match="UTF-") as caught:
        decode_text("f", "kind: x".encode(encoding))
    assert caught.value.diagnostic.remedy == "save the file as UTF-8"


def test_latin_1_has_the_position_of_the_first_byte() -> None:
    with pytest.raises(UnreadableText, match="0xe4") as caught:
        decode_text("f", "a: ö\nb: ".encode() + b"\xe4\n")
    assert caught.value.diagnostic.position == Position("f", 2, 4)


def test_column_counts_characters_before_a_bad_byte() -> None:
    with pytest.raises(UnreadableText) as caught:
        decode_text("f", "ö: ".encode() + b"\xe4")
    assert caught.value.diagnostic.position == Position("f", 1, 4)


def test_too_large_a_file_is_refused() -> None:
    assert decode_text("f", b" " * MAX_BYTES)
    with pytest.raises(UnreadableText, match="larger than 4 MiB"):
        decode_text("f", b" " * (MAX_BYTES + 1))


def test_line_and_column_of_an_offset() -> None:
    assert line_and_column("ab\ncd", 0) == (1, 1)
    assert line_and_column("ab\ncd", 3) == (2, 1)
    assert line_and_column("ab\ncd", 4) == (2, 2)


def test_json_keeps_its_meaning() -> None:
    value = {"emoji 😀": "\\ud83d", "breaks": "a\x85b\u2028c\u2029d\x7f", "escaped": '\\"\\\\u'}
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only, indent="\t")
        assert json.loads(json_to_yaml(text.replace("\\ud83d\\ude00", "😀"))) == value


def test_json_surrogate_pairs_become_one_escape() -> None:
    assert json_to_yaml(r'"\ud83d\ude00"') == r'"\U0001f600"'
    assert json_to_yaml(r'"\\ud83d\ude00"') == r'"\\ud83d\ude00"'


@pytest.fixture(params=["compiled", "pure"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("dockerv6.source.yaml.open_events", getattr(yaml_text, f"_{request.param}"))
    if request.param == "pure":
        monkeypatch.setattr(yaml, "__with_libyaml__", False)
    return str(request.param)


def failure(text: str) -> UnreadableText:
    with pytest.raises(UnreadableText) as caught:
        list(parse("f", text))
    return caught.value


@pytest.mark.usefixtures("parser")
def test_both_parsers_read_the_same() -> None:
    text = "a: &x {b: [1, no, 'q', \"\\u00e4\"]}\nc: *x\nd: |\n  block\ne: ! 1\n---\n- 1\n..."
    assert [document.value for document in parse("f", text)] == [
        {"a": {"b": [1, "no", "q", "ä"]}, "c": {"b": [1, "no", "q", "ä"]}, "d": "block\n", "e": "1"},
        [1],
    ]


@pytest.mark.parametrize(
    ("text", "place", "message", "remedy"),
    [
        ("a:\n\tb: 1", (2, 1), "tab", "spaces"),
        ("a: b: c", (1, 5), "mapping values", "quotes"),
        ("a: @b", (1, 4), "'@'", "quotes"),
        ("a: [1, 2", (1, 9), "invalid YAML", "close every"),
        ("a: 'x", (1, 6), "invalid YAML", "close every"),
        ("ä: [\x01]", (1, 5), "control characters", "remove the character"),
        ("a: 1\n b: 2", (2, 3), "mapping values", "indentation"),
        ("a: {{ x }}", (1, 6), "", ""),
    ],
)
@pytest.mark.usefixtures("parser")
def test_syntax_errors_have_position_message_and_remedy(
    text: str, place: tuple[int, int], message: str, remedy: str
) -> None:
    if message:
        found = failure(text).diagnostic
        assert found.position == Position("f", *place)
        assert message in found.message
        assert remedy in found.remedy
    else:
        [document] = parse("f", text)
        [found] = document.problems
        assert "key must be a string" in found.message


@pytest.mark.usefixtures("parser")
def test_half_a_surrogate_pair_is_an_error() -> None:
    assert failure("a: \ud800").diagnostic.position.line == 1
