"""docs/reports.md lists every report that tests/e2e/reports replays, and each module says which one it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "tests" / "e2e" / "reports").glob("test_*_[0-9]*.py"))
ROW = re.compile(r"\| \[(\S+)/(\S+)#(\d+)\]\((\S+)\) \| (.+) \| (.+) \| `(tests/e2e/reports/\w+\.py)::\w+` \|")


def rows() -> list[tuple[str, ...]]:
    lines = (ROOT / "docs" / "reports.md").read_text().splitlines()
    return [match.groups() for line in lines if (match := ROW.fullmatch(line))]


def test_every_replayed_report_has_one_row() -> None:
    assert sorted(row[-1] for row in rows()) == [str(module.relative_to(ROOT)) for module in MODULES]
    assert len(rows()) > 30


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[-1].rpartition("/")[2])
def test_a_module_has_the_name_and_the_docstring_of_its_report(row: tuple[str, ...]) -> None:
    owner, repository, number, link, *_, module = row
    assert link == f"https://github.com/{owner}/{repository}/issues/{number}"
    assert Path(module).stem == f"test_{repository.lower().replace('-', '_')}_{number}"
    docstring = ast.get_docstring(ast.parse((ROOT / module).read_text()))
    assert docstring is not None
    assert docstring.startswith(f"{owner}/{repository}#{number}: ")
    assert "\n" not in docstring
