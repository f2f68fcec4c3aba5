"""What the documentation's tables claim is proved by tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOVING = ROOT / "docs" / "docker-ipv6nat.md"
THREATS = ROOT / "docs" / "security.md"
THREATS_HEADING = "| attempt | what stops it | test |"
PROOF = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def proofs() -> list[tuple[str, str]]:
    return sorted({proof for page in (ROOT / "docs").glob("*.md") for proof in PROOF.findall(page.read_text())})


@pytest.mark.parametrize(("file", "test"), proofs(), ids="::".join)
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    assert test in functions_of(file)


def test_every_behaviour_of_docker_ipv6nat_has_a_proof() -> None:
    _, _, section = MOVING.read_text().partition("## Behaviour by behaviour")
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 30
    assert [row for row in rows if row.count(" | ") != 2 or not PROOF.search(row)] == []


def test_every_row_of_the_threat_model_has_a_proof() -> None:
    rows = [line for line in THREATS.read_text().splitlines() if line.startswith("| ") and line != THREATS_HEADING]
    assert len(rows) > 20
    assert [row for row in rows if row.count(" | ") != 2 or not PROOF.search(row)] == []


def test_the_index_of_decisions_lists_every_record_with_its_title_and_status() -> None:
    rows = []
    for path in sorted((ROOT / "docs" / "adr").glob("0*.md")):
        heading, _, rest = path.read_text().partition("\n\n")
        number, _, title = heading.removeprefix("# ").partition(": ")
        status = " ".join(rest.partition("\n\n")[0].removeprefix("Status: ").split()).rstrip(".")
        rows.append(f"| [{number}]({path.name}) | {title} | {status} |")
    assert [
        row for row in (ROOT / "docs" / "adr" / "README.md").read_text().splitlines() if row.startswith("| [")
    ] == rows


def test_no_record_of_a_decision_repeats_itself() -> None:
    for path in sorted((ROOT / "docs" / "adr").glob("0*.md")):
        lines = [line for line in path.read_text().splitlines() if len(line) > 60]
        assert [line for line in lines if lines.count(line) > 1] == [], path.name
