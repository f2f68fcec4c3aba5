import json

import pytest

from dockerv6.source.limits import MAX_BYTES
from dockerv6.source.text import UnreadableText, decode_text, place_of, yaml_of_json


def test_utf8_with_and_without_byte_order_mark() -> None:
    assert decode_text("ä: 1".encode()) == "ä: 1"
    assert decode_text("ä: 1".encode("utf-8-sig")) == "ä: 1"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_unicode_encodings_are_named(encoding: str) -> None:
    with pytest.raises(UnreadableText, match="UTF-") as caught:
        decode_text("kind: x".encode(encoding))
    assert caught.value.flaw.remedy == "save the file as UTF-8"


def test_latin_1_is_shown_where_it_begins() -> None:
    with pytest.raises(UnreadableText, match="0xe4") as caught:
        decode_text("a: ö\nb: ".encode() + b"\xe4\n")
    assert (caught.value.flaw.line, caught.value.flaw.column) == (2, 4)


def test_column_counts_characters_before_a_bad_byte() -> None:
    with pytest.raises(UnreadableText) as caught:
        decode_text("ö: ".encode() + b"\xe4")
    assert (caught.value.flaw.line, caught.value.flaw.column) == (1, 4)


def test_too_large_a_file_is_refused() -> None:
    assert decode_text(b" " * MAX_BYTES)
    with pytest.raises(UnreadableText, match="larger than 4 MiB"):
        decode_text(b" " * (MAX_BYTES + 1))


def test_place_of_an_offset() -> None:
    assert place_of("ab\ncd", 0) == (1, 1)
    assert place_of("ab\ncd", 3) == (2, 1)
    assert place_of("ab\ncd", 4) == (2, 2)


def test_json_keeps_its_meaning() -> None:
    value = {"emoji 😀": "\\ud83d", "breaks": "a\x85b\u2028c\u2029d\x7f", "escaped": '\\"\\\\u'}
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only, indent="\t")
        assert json.loads(yaml_of_json(text.replace("\\ud83d\\ude00", "😀"))) == value


def test_json_surrogate_pairs_become_one_escape() -> None:
    assert yaml_of_json(r'"\ud83d\ude00"') == r'"\U0001f600"'
    assert yaml_of_json(r'"\\ud83d\ude00"') == r'"\\ud83d\ude00"'
