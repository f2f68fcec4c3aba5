"""The matrix: the engines and configurations that the end-to-end tests run on.

A cell is an engine's version with its IPv6 rules off or on, its xtables variant, and its userland proxy, such as
`20.10-off-legacy-noproxy`. Engine 28 always has its rules on, so its cells do not mention them. In cells that end in
`-iptables`, the operator uses its iptables backend, otherwise its nftables backend. A name without variant and proxy
means the defaults: `20.10-off` is `20.10-off-nft-proxy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from tests.lab.settings import XTABLES_VARIANTS, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# before version 27 the engine's IPv6 rules are experimental, and it refuses to start with only one of the two keys
_IPV6_RULES_ON = {"experimental": True, "ip6tables": True}


@dataclass(frozen=True, slots=True)
class Cell:
    """One engine in one configuration. `ipv6_rules`: the engine creates IPv6 rules of its own."""

    name: str
    line: str
    settings: Settings
    ipv6_rules: bool
    proxy: bool
    backend: str = "nftables"


@dataclass(frozen=True, slots=True)
class _Line:
    """An engine's version with its IPv6 rules off or on."""

    name: str
    version: str
    ipv6_rules: bool
    config: Mapping[str, object]


_LINES = (
    _Line("20.10-off", "20.10", ipv6_rules=False, config={}),
    _Line("20.10-on", "20.10", ipv6_rules=True, config=_IPV6_RULES_ON),
    _Line("26.1-off", "26.1", ipv6_rules=False, config={}),
    _Line("26.1-on", "26.1", ipv6_rules=True, config=_IPV6_RULES_ON),
    _Line("28.5", "28.5", ipv6_rules=True, config={}),
)


def _cell(line: _Line, xtables: str, *, proxy: bool, backend: str = "nftables") -> Cell:
    config = dict(line.config) if proxy else {**line.config, "userland-proxy": False}
    name = f"{line.name}-{xtables}-{'proxy' if proxy else 'noproxy'}"
    suffix = "" if backend == "nftables" else f"-{backend}"
    settings = Settings(line.version, xtables, config)
    return Cell(f"{name}{suffix}", line.name, settings, line.ipv6_rules, proxy, backend)


LINES = tuple(line.name for line in _LINES)
_ALL = (
    *(_cell(line, xtables, proxy=proxy) for line, xtables, proxy in product(_LINES, XTABLES_VARIANTS, (True, False))),
    *(_cell(line, "legacy", proxy=proxy, backend="iptables") for line, proxy in product(_LINES, (True, False))),
)
_SHORT = {line: f"{line}-nft-proxy" for line in LINES}
CELLS = {cell.name: cell for cell in _ALL}
CELLS |= {short: CELLS[name] for short, name in _SHORT.items()}
"""Every cell by its name, and by its short name where it has one."""

CORE = tuple(_SHORT[line] for line in ("20.10-off", "20.10-on", "28.5"))
"""The cells of most end-to-end tests, in every test run."""

MATRIX = tuple(cell.name for cell in _ALL)
"""The cells of the scenarios of the matrix, in a full run."""

COVER = (
    "20.10-off-legacy-noproxy",
    "26.1-on-nft-noproxy",
    "28.5-nft-proxy",
    "28.5-legacy-proxy-iptables",
)
"""The cells of the scenarios in every test run: each version, each variant with and without the proxy, IPv6 rules off
and on, and each backend."""


def choose(expression: str, core: Sequence[str] = CORE) -> list[str]:
    """Return the cells that `core`, `all` or a comma-separated list selects for tests of one feature.

    `core` are the cells of the test in every run.

    Raises:
        ValueError: the list contains an unknown name.
    """
    return _chosen(expression, [CELLS[name].name for name in core], _SHORT.values())


def choose_matrix(expression: str) -> list[str]:
    """Return the cells that the same expression selects for scenarios of the matrix; errors as in `choose`."""
    return _chosen(expression, COVER, MATRIX)


def _chosen(expression: str, core: Iterable[str], every: Iterable[str]) -> list[str]:
    if expression == "all":
        return list(every)
    if expression == "core":
        return list(core)
    names = expression.split(",")
    if unknown := [name for name in names if name not in CELLS]:
        raise ValueError(f"no such cell: {', '.join(unknown)}; there are {', '.join(CELLS)}, core and all")
    return list(dict.fromkeys(CELLS[name].name for name in names))
