"""docs/architecture.md names types and functions that exist."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
DOTTED = re.compile(r"`([a-z_]\w*(?:\.\w+)+)`")
# YAML fields, and a file
OTHERS = {"egress.mode", "firewall.ingress", "__init__.py"}


def names(text: str) -> list[str]:
    return sorted(set(DOTTED.findall(text)) - OTHERS)


def section(heading: str) -> str:
    _, _, rest = PAGE.read_text().partition(f"## {heading}\n")
    return rest.partition("\n## ")[0]


def exists(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(["dockerv6", *parts[:count]]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[count:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


@pytest.mark.parametrize("name", names(PAGE.read_text()))
def test_a_type_or_function_of_the_architecture_page_exists(name: str) -> None:
    assert exists(name)


def test_the_glossary_and_both_walks_name_what_carries_a_term() -> None:
    assert len(names(section("Glossary"))) > 30
    assert len(names(section("Two walks"))) > 15
