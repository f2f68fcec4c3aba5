import pytest
import yaml

from dockerv6.cli.printers.outputs import encode
from dockerv6.source.yaml import parse

TEXTS = [
    "08",
    "0o7",
    "0x1F",
    "1e3",
    "+1",
    "-.5",
    "1_000",
    "12:30",
    "no",
    "~",
    "null",
    "",
    "True",
    ".inf",
    ".NaN",
    "9" * 5000,
]


@pytest.mark.parametrize("text", [*TEXTS, "a: b", "it's", "x\ny", "\x1b[2J", "\u2028"])
def test_a_string_stays_one_for_readers_of_both_versions_of_yaml(text: str) -> None:
    printed = encode({"key": text, **({text: "value"} if len(text) < 1000 else {})}, "yaml")
    (document,) = parse("f.yaml", printed)
    assert not document.problems
    assert document.value == yaml.safe_load(printed)
    assert document.value["key"] == text  # type: ignore[index]


def test_other_values_and_plain_words_have_no_quotes() -> None:
    value = {"on": True, "count": 8, "share": 0.5, "none": None, "name": "blog", "list": ["fd00::/64", "a-b"]}
    assert encode(value, "yaml").splitlines()[1:5] == ["count: 8", "share: 0.5", "none: null", "name: blog"]
