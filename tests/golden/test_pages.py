"""Files in the repository that are generated from the code, or that repeat each other, agree."""

import re
from pathlib import Path

import pytest

from dockerv6.api.crd import COMMAND, export
from scripts import cli_page, reliability_page, resources_page, rules_page

ROOT = Path(__file__).parents[2]
CRDS = export()
PAGES = {
    "cli_page": cli_page,
    "reliability_page": reliability_page,
    "resources_page": resources_page,
    "rules_page": rules_page,
}
_EXAMPLE = re.compile(r"^\[[^]]+\]\(\.\./(manifests/examples/[^)]+)\):\n\n```yaml\n(.*?)```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    generator = PAGES[name]
    assert generator.PAGE.read_text() == generator.page(), f"{generator.PAGE}: run `python -m scripts.{name}`"


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
