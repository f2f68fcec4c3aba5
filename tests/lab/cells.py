"""The matrix: which engines, in which configuration, the end-to-end tests run on.

A cell of the core runs in every test run; the others run in `make test-matrix`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.lab.settings import Settings

# before version 27 the engine's IPv6 rules are an experiment, and it refuses to start with only one of the two keys
_IPV6_RULES_ON = {"experimental": True, "ip6tables": True}


@dataclass(frozen=True, slots=True)
class Cell:
    """One engine in one configuration. `ipv6_rules` says whether the engine makes IPv6 rules of its own."""

    name: str
    settings: Settings
    ipv6_rules: bool
    core: bool = False


_ALL = (
    Cell("20.10-off", Settings("20.10"), ipv6_rules=False, core=True),
    Cell("20.10-on", Settings("20.10", config=_IPV6_RULES_ON), ipv6_rules=True, core=True),
    Cell("28.5", Settings("28.5"), ipv6_rules=True, core=True),
    Cell("26.1-off", Settings("26.1"), ipv6_rules=False),
    Cell("26.1-on", Settings("26.1", config=_IPV6_RULES_ON), ipv6_rules=True),
)
CELLS = {cell.name: cell for cell in _ALL}


def choose(expression: str) -> list[str]:
    """Return the names of the cells that `core`, `all` or a comma-separated list means.

    Raises:
        ValueError: the list has a name that is no cell's.
    """
    if expression == "all":
        return list(CELLS)
    if expression == "core":
        return [cell.name for cell in _ALL if cell.core]
    names = expression.split(",")
    if unknown := [name for name in names if name not in CELLS]:
        raise ValueError(f"no such cell: {', '.join(unknown)}; there are {', '.join(CELLS)}, core and all")
    return names
