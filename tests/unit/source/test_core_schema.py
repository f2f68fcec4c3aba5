import math

import pytest

from dockerv6.source.core_schema import plain_value, tagged_value

CORE = "tag:yaml.org,2002:"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("NULL", None),
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("false", False),
        ("0", 0),
        ("-12", -12),
        ("+12", 12),
        ("0123", 123),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_core_schema_values(text: str, value: object) -> None:
    result = plain_value(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *("no", "No", "NO", "yes", "on", "off", "y", "n", "tRUE", "nULL", "None"),
        *(
            "22:22",
            "1_000",
            "2026-11-23",
            "2026-11-23T02:43:12Z",
            "0b11",
            "-0x1f",
            "0o8",
            "+",
            "-",
            ".",
            "..",
            "1e",
            "1.2.3",
        ),
        *("fd12::/64", "::", "::1", "10.0.0.0/8", "1٢", "<<", "="),
    ],
)
def test_values_of_yaml_1_1_stay_text(text: str) -> None:
    assert plain_value(text) == text


def test_not_a_number() -> None:
    value = plain_value(".NaN")
    assert isinstance(value, float)
    assert math.isnan(value)


def test_too_long_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="5000 characters"):
        plain_value("1" * 5000)


@pytest.mark.parametrize(
    ("tag", "text", "value"),
    [("str", "1", "1"), ("int", "0x10", 16), ("float", "1", 1.0), ("bool", "true", True), ("null", "", None)],
)
def test_core_tags(tag: str, text: str, value: object) -> None:
    result = tagged_value(CORE + tag, text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("tag", "text"), [("int", "x"), ("int", "true"), ("bool", "yes"), ("float", "true"), ("null", "0")]
)
def test_text_that_does_not_match_its_tag_is_an_error(tag: str, text: str) -> None:
    with pytest.raises(ValueError, match=tag):
        tagged_value(CORE + tag, text)


def test_tags_outside_the_core_schema_are_unknown() -> None:
    with pytest.raises(KeyError):
        tagged_value(CORE + "timestamp", "2026-11-23")
