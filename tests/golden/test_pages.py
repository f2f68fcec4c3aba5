"""Files in the repository that are generated from the code, or that repeat each other, agree."""

import re
from pathlib import Path

import pytest

from dockerv6.api.crd import COMMAND, export
from scripts import cli_page, findings_page, man_pages, reliability_page, resources_page, rules_page

ROOT = Path(__file__).parents[2]
CRDS = export()
MANUAL = man_pages.files()
PAGES = {
    "cli_page": cli_page,
    "findings_page": findings_page,
    "reliability_page": reliability_page,
    "resources_page": resources_page,
    "rules_page": rules_page,
}
_EXAMPLE = re.compile(r"^\[[^]]+\]\(\.\./(manifests/examples/[^)]+)\):\n\n```yaml\n(.*?)```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    generator = PAGES[name]
    assert generator.PAGE.read_text() == generator.page(), f"{generator.PAGE}: run `python -m scripts.{name}`"


@pytest.mark.parametrize("name", sorted(MANUAL))
def test_a_manual_page_or_a_completion_script_is_up_to_date(name: str) -> None:
    path = man_pages.MANIFESTS / name
    committed = path.read_text() if path.exists() else ""
    assert committed == MANUAL[name], f"manifests/{name} is out of date: run `python -m scripts.man_pages`"


def test_there_are_only_generated_manual_pages_and_completion_scripts() -> None:
    there = {
        f"{folder}/{path.name}" for folder in ("man", "completion") for path in (man_pages.MANIFESTS / folder).iterdir()
    }
    assert there == set(MANUAL), "run `python -m scripts.man_pages`"


@pytest.mark.parametrize("name", sorted(name for name in MANUAL if name.startswith("man/")))
def test_a_manual_page_is_correct_roff(name: str) -> None:
    lines = MANUAL[name].splitlines()
    requests = {line.split()[0] for line in lines if line.startswith((".", "'"))}
    assert requests <= {'.\\"', ".TH", ".SH", ".TP", ".PP", ".B", ".BR", ".I", ".nf", ".fi", ".nh", ".ad"}
    sections = [line.removeprefix(".SH ") for line in lines if line.startswith(".SH ")]
    assert sections[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    assert "EXIT STATUS" in sections
    assert MANUAL[name].isascii()
    # a backslash begins one of the escapes that are used
    assert re.sub(r"\\(?:e|-|&|f[BIR]|\")", "", MANUAL[name]).count("\\") == 0


@pytest.mark.parametrize("name", sorted(CRDS))
def test_a_generated_crd_is_up_to_date(name: str) -> None:
    path = ROOT / "crds" / name
    committed = path.read_text() if path.exists() else ""
    assert committed == CRDS[name], f"crds/{name} is out of date: run `{COMMAND}`"


def test_crds_contains_only_generated_files() -> None:
    assert {path.name for path in (ROOT / "crds").iterdir()} == set(CRDS), f"remove what `{COMMAND}` does not write"


def test_real_ipv6_md_contains_the_tested_examples() -> None:
    examples = dict(_EXAMPLE.findall((ROOT / "docs" / "real-ipv6.md").read_text()))
    assert examples
    for path, text in examples.items():
        tested = (ROOT / path).read_text()
        assert text == tested[tested.index("apiVersion:") :], f"docs/real-ipv6.md differs from {path}"
