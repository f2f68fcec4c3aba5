"""The checks that the pre-commit hooks of this project make on files and commit messages."""

from pathlib import Path

import pytest

from scripts.hygiene import problems_of_file, problems_of_message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"text \n", "trailing whitespace"),
        (b"text", "no newline at the end"),
        (b"<<<<<<< HEAD\n", "a conflict marker"),
        (b"x" * 500_001, "the limit is 500000"),
    ],
)
def test_a_file_with_a_bad_form_is_reported(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert any(problem in line for line in problems_of_file(str(file)))


@pytest.mark.parametrize("content", [b"", b"one\n\ntwo\n"])
def test_a_file_with_a_good_form_has_no_problem(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    assert list(problems_of_file(str(file))) == []


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("# a comment\n", "no subject line"),
        ("Add a check.\n", "ends with a period"),
        ("add a check\n", "capital letter"),
        ("A" * 101, "the limit is 100"),
        ("Add a check\nbecause\n", "second line"),
    ],
)
def test_a_message_with_a_bad_form_is_reported(message: str, problem: str) -> None:
    assert any(problem in line for line in problems_of_message(message))


def test_a_message_with_a_good_form_has_no_problem() -> None:
    assert list(problems_of_message("Add a check\n\nIt finds trailing whitespace.\n# a comment\n")) == []
