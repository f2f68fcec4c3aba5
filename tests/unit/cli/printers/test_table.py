from dockerv6.cli.printers.table import Table, plain, width


def test_columns_line_up_under_upper_case_headings() -> None:
    assert Table(["Name", "Of it"]).lines([["a", "x"], ["longer", ""]]) == ["NAME     OF IT", "a        x", "longer"]


def test_later_rows_line_up_with_earlier_ones_and_have_no_headings() -> None:
    table = Table(["Name", "B"])
    table.lines([["longer", "x"]])
    assert table.lines([["a", "y"]]) == ["a        y"]
    assert table.lines([]) == []


def test_wide_and_combining_characters_take_their_columns() -> None:
    assert (width("abc"), width("日本"), width("e\u0301")) == (3, 4, 1)
    assert Table(["N", "B"]).lines([["日本", "x"], ["e\u0301", "y"]]) == ["N      B", "日本   x", "e\u0301      y"]


def test_control_characters_are_dropped() -> None:
    assert plain("a\x1b[2J\nb\tc\u202ed") == "a[2J b cd"


def test_only_named_columns_are_coloured() -> None:
    line = Table(["Ready", "Other"]).lines([["False", "False"]])[1]
    assert line == "\x1b[31mFalse\x1b[0m   False"
