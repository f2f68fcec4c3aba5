"""The generated files in the repository match the models."""

from pathlib import Path

import pytest

from dockerv6.api.crd import COMMAND, export
from scripts.resources_page import PAGE, page

ROOT = Path(__file__).parents[2]
FILES = export()


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_committed_file_is_generated_from_the_models(name: str) -> None:
    path = ROOT / "crds" / name
    committed = path.read_text() if path.exists() else ""
    assert committed == FILES[name], f"crds/{name} is stale: run `{COMMAND}`"


def test_crds_has_no_other_files() -> None:
    assert {path.name for path in (ROOT / "crds").iterdir()} == set(FILES), f"remove what `{COMMAND}` does not write"


def test_the_reference_is_generated_from_the_models() -> None:
    assert PAGE.read_text() == page(), f"{PAGE} is stale: run python -m scripts.resources_page"
