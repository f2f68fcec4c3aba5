"""Every command that a message offers is pasted by a test, or it is written down why not."""

import ast
from pathlib import Path

import pytest

from tests import remedies
from tests.remedies import NOT_PASTED, PASTED, ROOT, SHOWS, offered

OFFERED = offered()


@pytest.mark.parametrize("command", OFFERED)
def test_an_offered_command_is_pasted_by_a_test(command: str) -> None:
    """A new remedy belongs in `tests/remedies.py`, with the test that pastes it."""
    listed = [command in each for each in (PASTED, SHOWS, NOT_PASTED)]
    assert listed.count(True) == 1, f"{command!r} of {OFFERED[command]}"


def test_no_command_is_listed_that_nothing_offers() -> None:
    assert {*PASTED, *SHOWS, *NOT_PASTED} <= OFFERED.keys()


@pytest.mark.parametrize("test", sorted(set(PASTED.values())))
def test_the_tests_exist(test: str) -> None:
    file, name = test.split("::")
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {each.name for each in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(each, functions)}


def test_a_new_remedy_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In each of the ways in which messages write a command."""

    (tmp_path / "planning").mkdir()
    (tmp_path / "planning" / "new.py").write_text(
        'A = f"it is off; run sysctl -w {NAME}=1, and keep it"\n'
        'B = f"remove it (`ip -6 neigh del {address} dev {name}`)"\n'
        'C = ("nft add element inet other allowed {}", "save it")\n'
    )
    monkeypatch.setattr(remedies, "_SOURCE", tmp_path)
    assert set(remedies.offered()) == {
        "sysctl -w {}=1",
        "ip -6 neigh del {} dev {}",
        "nft add element inet other allowed {}",
    }
