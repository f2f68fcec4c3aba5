"""Rules of the layout that import-linter can't express; the others are in .importlinter."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grimp
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "operator" / "dockerv6"
_PACKAGES = sorted(_PACKAGE.rglob("__init__.py"))

# the modules outside planning that it may import: values and pure rules
_PLANNING_SEES = {
    *("api", "lib", "planning"),
    *("dockerd.model", "firewall.model", "hostnet.model", "source.model", "store.model"),
    *(f"firewall.{name}" for name in ("elements", "expr", "filter_chains", "nat_chains", "operations", "prefixes")),
    *(f"firewall.{name}" for name in ("diff", "overlaps", "rectangles", "render", "ruleset")),
    *("ipam.block", "ipam.ledger"),
}
# slow imports, which only the commands that need them may load
_HEAVY = ("pydantic", "docker", "requests", "iptc", "watchfiles", "prometheus_client", "asyncio", "yaml")

# docs/adr/0028: a module is one subject that a reader opens once
_LONGEST_MODULE = 400
# one table of one kind each: all steps of a plan, and all extensions of xtables
_LONG_MODULES = {"planning/steps.py", "firewall/xtables/entries.py"}
# a name says what a value is: `message`, `expected`, `repaired`
_SAYINGS = ("said", "told", "tells?", "wish(?:es)?", "mend(?:s|ed)?", "whom", "whoever", "anew")


@pytest.mark.parametrize("path", _PACKAGES, ids=lambda path: str(path.parent.relative_to(_PACKAGE.parent)))
def test_package_states_its_duty_and_its_prohibition_and_imports_nothing(path: Path) -> None:
    module = ast.parse(path.read_text())
    docstring = ast.get_docstring(module)
    assert docstring
    assert len(module.body) == 1
    if path.parent != _PACKAGE:
        assert "Duty: " in docstring
        assert "Never" in docstring


def test_source_root_is_no_package() -> None:
    assert not (_PACKAGE.parent / "__init__.py").exists()


def test_planning_sees_values_and_pure_rules_only() -> None:
    graph = grimp.build_graph("dockerv6")
    seen = graph.find_upstream_modules("dockerv6.planning", as_package=True)
    allowed = tuple(f"dockerv6.{name}" for name in _PLANNING_SEES)
    packages = {"dockerv6", *(name.rpartition(".")[0] for name in allowed)}
    outside = {
        name for name in seen - packages if not any(name == each or name.startswith(f"{each}.") for each in allowed)
    }
    assert outside == set()


def test_a_type_has_one_name_in_the_package() -> None:
    modules: dict[str, list[str]] = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        module = ast.parse(path.read_text())
        classes = [node.name for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
        for name in [*classes, *filter(None, map(_alias, module.body))]:
            modules.setdefault(name, []).append(str(path.relative_to(_PACKAGE)))
    assert {name: found for name, found in modules.items() if len(found) > 1} == {}


def _alias(statement: ast.stmt) -> str:
    """The name of a type alias or a TypeVar in CamelCase; one letter is the name of a TypeVar of a module."""
    target: ast.expr | None = None
    if isinstance(statement, ast.Assign):
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign) and ast.unparse(statement.annotation).endswith("TypeAlias"):
        target = statement.target
    name = target.id if isinstance(target, ast.Name) else ""
    return name if name.strip("_")[:1].isupper() and not name.isupper() else ""


@pytest.mark.parametrize("tree", ["operator", "tests", "benchmarks", "scripts"])
def test_names_are_of_things_and_not_of_sayings(tree: str) -> None:
    named = re.compile(rf"\b(?:\w*_)?(?:{'|'.join(_SAYINGS)})(?:_\w*)?\b")
    found = {
        f"{path.relative_to(_ROOT)}: {name}"
        for path in (_ROOT / tree).rglob("*.py")
        for name in _names(ast.parse(path.read_text()))
        if named.fullmatch(name)
    }
    assert found == set()


def _names(module: ast.Module) -> Iterator[str]:
    """What a module defines: functions, classes, parameters, variables and attributes."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def test_a_module_has_less_than_400_lines() -> None:
    long = {
        str(path.relative_to(_PACKAGE)): lines
        for path in _PACKAGE.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) >= _LONGEST_MODULE
    }
    assert long.keys() <= _LONG_MODULES, long


@pytest.mark.parametrize("module", ["dockerv6.api.kinds", "dockerv6.cli.main", "dockerv6.daemon.settings"])
def test_light_module_loads_no_heavy_library(module: str) -> None:
    program = f"import sys, {module}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not set(_HEAVY) & set(loaded)


# `make host` and `make e2e` collect only these directories
@pytest.mark.parametrize("stage", ["host", "e2e"])
def test_tests_of_a_stage_are_where_it_collects_them(stage: str) -> None:
    tests = _ROOT / "tests"
    marked = {path for path in tests.rglob("*.py") if f"mark.{stage}" in path.read_text()}
    assert {str(path) for path in marked if path.relative_to(tests).parts[0] not in (stage, "contract")} == set()
