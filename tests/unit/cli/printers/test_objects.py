import pytest

from dockerv6.api.kinds import KINDS, Column
from dockerv6.cli.printers.objects import cell

DOCUMENT = {
    "metadata": {"creationTimestamp": "2023-11-14T22:13:20Z"},
    "status": {
        "n": 0,
        "flag": False,
        "list": ["a", "b"],
        "empty": "",
        "conditions": [{"type": "Other", "status": "x"}, {"type": "Ready", "status": "False"}],
    },
}


def test_every_printer_column_has_a_supported_path() -> None:
    for info in KINDS:
        for column in info.columns:
            assert cell({}, column, 0) == "<none>"


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (Column("N", ".status.n", "integer"), "0"),
        (Column("F", ".status.flag", "boolean"), "false"),
        (Column("E", ".status.empty"), "<none>"),
        (Column("L", ".status.list"), "a,b"),
        (Column("A", ".metadata.creationTimestamp", "date"), "3m"),
    ],
)
def test_cells_are_formatted_like_kubectl(column: Column, shown: str) -> None:
    assert cell(DOCUMENT, column, 1_700_000_180) == shown
