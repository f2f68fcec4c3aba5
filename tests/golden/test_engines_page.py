"""docs/engines.md is generated from the records of the matrix runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.engines_page import page
from tests.e2e.matrix.record import CellRecord, promise
from tests.lab.cells import CELLS, COVER, LINES, MATRIX, choose, choose_matrix
from tests.lab.schedule import group

if TYPE_CHECKING:
    from collections.abc import Iterable

_DOCS = Path(__file__).parents[2] / "docs"
_RECORD = CellRecord(
    cell="28.5-nft-proxy",
    engine="28.5.2",
    kernel="6.1.0",
    run="one",
    full=True,
    date="2026-11-23T07:00+00:00",
    topics={"Ports.": {"port is open (tcp)": "passed", "port is closed": "passed"}},
)


def _page(*records: CellRecord) -> list[str]:
    return page({record.cell: record for record in records}).splitlines()


def _row(lines: Iterable[str], start: str) -> str:
    return next(line for line in lines if line.startswith(f"| {start} |"))


def test_the_page_is_generated_from_the_records() -> None:
    records = {record.cell: record for record in CellRecord.read(_DOCS / "engines")}
    assert (_DOCS / "engines.md").read_text() == page(records).rstrip() + "\n", "run python -m scripts.engines_page"


def test_the_page_lists_cells_that_never_ran() -> None:
    lines = _page(_RECORD)
    assert "**not run**" in _row(lines, "`20.10-off-nft-proxy`")
    assert _row(lines, "`28.5-nft-proxy`") == "| `28.5-nft-proxy` | 28.5.2 | all 2 | 2026-11-23 |"


def test_the_page_shows_failures_and_their_cells() -> None:
    failed = replace(_RECORD, topics={"Ports.": {"port is open (tcp)": "call", "port is closed": "passed"}})
    lines = _page(failed, replace(_RECORD, cell="28.5-legacy-noproxy"))
    assert "**1 of 2**" in _row(lines, "`28.5-nft-proxy`")
    assert _row(lines, "port is open (tcp)").endswith("| **fails: nft-proxy** |")
    assert _row(lines, "port is closed").endswith("| 2/6 |")


def test_the_page_marks_cells_that_the_last_full_run_did_not_include() -> None:
    newer = replace(_RECORD, cell="28.5-nft-noproxy", run="two", date="2026-11-24T07:00+00:00")
    alone = replace(_RECORD, cell="20.10-on-nft-proxy", run="three", full=False, date="2026-11-25T07:00+00:00")
    lines = _page(_RECORD, newer, alone)
    assert _row(lines, "`28.5-nft-noproxy`").endswith("| 2026-11-24 |")
    for cell in ("`28.5-nft-proxy`", "`20.10-on-nft-proxy`"):
        assert _row(lines, cell).endswith("not in the last full run |")


def test_writing_the_record_of_a_cell_keeps_the_others(tmp_path: Path) -> None:
    other = replace(_RECORD, cell="26.1-on-nft-proxy")
    other.write(tmp_path)
    _RECORD.write(tmp_path)
    assert list(CellRecord.read(tmp_path)) == [other, _RECORD]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("20.10-on-nft-proxy", "port is open"),
        ("20.10-on-nft-proxy-tcp", "port is open (tcp)"),
        ("tcp-20.10-on-nft-proxy", "port is open (tcp)"),
    ],
)
def test_a_promise_is_the_name_of_the_test_without_the_cell(parameters: str, name: str) -> None:
    assert promise("test_port_is_open", parameters, "20.10-on-nft-proxy") == name


def test_the_core_cells_cover_every_variant_proxy_and_version() -> None:
    cells = [CELLS[name] for name in COVER]
    assert {(cell.settings.xtables, cell.proxy) for cell in cells} == set(product(("nft", "legacy"), (True, False)))
    assert {cell.ipv6_rules for cell in cells} == {True, False}
    assert {cell.backend for cell in cells} == {"nftables", "iptables"}
    assert {cell.partition("-")[0] for cell in COVER} == {line.partition("-")[0] for line in LINES}
    assert set(COVER) <= set(MATRIX)


def test_a_short_name_selects_the_default_variant_and_proxy() -> None:
    assert choose("28.5,20.10-on") == choose_matrix("28.5,20.10-on") == ["28.5-nft-proxy", "20.10-on-nft-proxy"]
    with pytest.raises(ValueError, match=r"no such cell: 27\.0"):
        choose("28.5,27.0")


def test_the_tests_of_a_module_on_one_engine_are_one_group() -> None:
    module = "tests/e2e/test_guide.py"
    assert group(f"{module}::test_a[28.5-nft-proxy]") == group(f"{module}::test_b[28.5-nft-proxy-tcp]")
    assert group(f"{module}::test_a[28.5-nft-proxy]") != group(f"{module}::test_a[28.5-nft-noproxy]")
    assert group(f"{module}::test_a") == group(f"{module}::test_b[x]")


def test_the_matrix_is_one_group_for_each_cell() -> None:
    first, second = (f"tests/e2e/matrix/test_{name}.py::test_it[28.5-nft-proxy]" for name in ("a", "b"))
    assert group(first) == group(second)
