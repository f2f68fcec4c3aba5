import json
import os
import shlex
import subprocess
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerv6.lib.text import encodable, escaped, escaped_json, json_value, printable_path, shell_quoted, small_number

ANY_TEXT = st.text(st.characters(), max_size=20)
FILE_NAMES = st.binary(max_size=20).map(lambda name: os.fsdecode(name.replace(b"\0", b"")))


@pytest.mark.parametrize(
    ("dangerous", "safe"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb", "a\\nb"),
        ("\x7f", "\\x7f"),
        ("\x9b31m", "\\u009b31m"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\u2066\u061c\ufeff", "\\u2066\\u061c\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("\udcff", "\\xff"),
    ],
)
def test_dangerous_characters_are_escaped(dangerous: str, safe: str) -> None:
    assert escaped(dangerous) == safe


@pytest.mark.parametrize("text", ["", "straße", "日本", "😀", "a b", "no\N{NO-BREAK SPACE}break", "C:\\x"])
def test_other_text_stays(text: str) -> None:
    assert escaped(text) == text


@given(ANY_TEXT)
def test_escaped_text_is_one_line_that_can_be_encoded(text: str) -> None:
    assert len(escaped(text).encode().decode().splitlines()) <= 1


@given(st.dictionaries(ANY_TEXT, ANY_TEXT), st.sampled_from([None, 4]))
def test_escaped_json_means_the_same_and_has_no_dangerous_character(value: dict[str, str], indent: int | None) -> None:
    document = escaped_json(json.dumps(value, ensure_ascii=False, indent=indent))
    read = json.loads(document)
    assert read == json.loads(json.dumps(value))
    assert all(escaped(line) == line for line in document.split("\n"))


def test_json_keeps_other_characters_readable() -> None:
    assert escaped_json('{"a": "straße 😀\x7f\x9b\u202e\U000e0041"}') == (
        '{"a": "straße 😀\\u007f\\u009b\\u202e\\udb40\\udc41"}'
    )


@given(FILE_NAMES, FILE_NAMES)
def test_different_paths_have_different_texts(one: str, other: str) -> None:
    assert (printable_path(one) == printable_path(other)) == (one == other)
    printable_path(one).encode()


@pytest.mark.parametrize(
    ("name", "text"), [(b"a.yaml", "a.yaml"), (b"\xff.yaml", "\\xff.yaml"), (b"\\xff", "\\\\xff"), ("ä".encode(), "ä")]
)
def test_paths(name: bytes, text: str) -> None:
    assert printable_path(os.fsdecode(name)) == text


@pytest.mark.parametrize(
    "name", [b"a", b"a b", b"it's", b"\xff", b"\xffit's \\x", b"\n", b"\x1b[2J", "\u202e'".encode()]
)
def test_a_quoted_path_can_be_pasted(name: bytes) -> None:
    quoted = shell_quoted(os.fsdecode(name))
    quoted.encode()
    command = ["bash", "-c", f"printf %s {quoted}"]
    assert subprocess.run(command, check=True, capture_output=True, env={"LC_ALL": "C.UTF-8"}).stdout == name


def test_ordinary_paths_are_quoted_only_where_necessary() -> None:
    assert shell_quoted("/etc/dockerv6.d") == "/etc/dockerv6.d"
    assert shell_quoted("/srv/a b") == shlex.quote("/srv/a b")


@given(ANY_TEXT)
def test_encodable_text_can_be_encoded(text: str) -> None:
    assert b"\0" not in encodable(text).encode()


def test_encodable_text_stays() -> None:
    assert encodable("straße 😀\n") == "straße 😀\n"
    assert encodable("a\0\ud800b") == "a\ufffd\ufffd\ufffd\ufffdb"


@pytest.mark.parametrize("name", [r"a\u0000b", r"a\ud800b", r"a\uDFFFb", "a\xffb"])
def test_names_that_nothing_else_can_encode_are_replaced(name: str) -> None:
    value = json_value(f'[{{"{name}": ["{name}"]}}]'.encode("latin-1"))
    [entry] = cast("list[dict[str, list[str]]]", value)
    [(key, [inner])] = entry.items()
    assert key == inner
    assert key.strip("ab").strip("\N{REPLACEMENT CHARACTER}") == ""
    key.encode()


def test_surrogate_pairs_and_escaped_backslashes_stay() -> None:
    assert json_value(rb'["\ud83d\ude00", "\\ud800"]') == ["😀", "\\ud800"]


def test_json_that_is_nested_too_deeply_is_no_json() -> None:
    with pytest.raises(ValueError, match="nested"):
        json_value(b"[" * 100_000)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1500", 1500),
        ("0", 0),
        ("0064", 64),
        (str(2**64 - 1), 2**64 - 1),
        ("9" * 21, None),
        ("1" * 5000, None),  # int() raises
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1_0", None),
        (" 1", None),
        ("1\n", None),
        ("\u0661", None),  # a digit of Arabic
        ("\u00b2", None),  # isdigit() is true, and int() raises
    ],
)
def test_a_number_from_outside_is_short_and_plain(text: str, number: int | None) -> None:
    assert small_number(text) == number
