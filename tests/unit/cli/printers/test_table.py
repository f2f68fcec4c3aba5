import pytest

from dockerv6.cli.printers.table import TextTable, age, plain, width


def test_columns_line_up_under_upper_case_headings() -> None:
    assert TextTable(["Name", "Of it"]).lines([["a", "x"], ["longer", ""]]) == [
        "NAME     OF IT",
        "a        x",
        "longer",
    ]


def test_later_rows_line_up_with_earlier_ones_and_have_no_headings() -> None:
    table = TextTable(["Name", "B"])
    table.lines([["longer", "x"]])
    assert table.lines([["a", "y"]]) == ["a        y"]
    assert table.lines([]) == []


def test_wide_and_combining_characters_take_their_columns() -> None:
    assert (width("abc"), width("日本"), width("e\u0301")) == (3, 4, 1)
    assert TextTable(["N", "B"]).lines([["日本", "x"], ["e\u0301", "y"]]) == ["N      B", "日本   x", "e\u0301      y"]


def test_control_characters_are_escaped() -> None:
    assert plain("a\x1b[2J\nb\tc\u202ed") == "a\\x1b[2J b c\\u202ed"


def test_only_named_columns_are_coloured() -> None:
    line = TextTable(["Ready", "Other"]).lines([["False", "False"]])[1]
    assert line == "\x1b[31mFalse\x1b[0m   False"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (12600, "3h30m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (180000, "2d2h"),
        (691200, "8d"),
        (63071999, "729d"),
        (63072000, "2y"),
        (63072000 + 86400, "2y1d"),
        (315360000, "10y"),
    ],
)
def test_an_age_is_shown_as_kubectl_shows_it(seconds: float, shown: str) -> None:
    assert age(seconds) == shown
