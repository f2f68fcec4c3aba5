"""Which tests of a parallel run stay in one process: those that share fixtures on one engine.

pytest-xdist has marks for this (`--dist loadgroup`), but 3.8 ignores them with pytest 9.2. This uses the tests' names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer  # type: ignore[import-untyped]

# the parameter that names an engine: "28.5", "20.10-on-nft-proxy"
_ENGINE = re.compile(r"\[.*?(\d\d\.\d+(?:-off|-on)?(?:-(?:nft|legacy)-(?:no)?proxy)?)")
# directories whose modules share fixtures on an engine
_SHARING = ("tests/e2e/matrix/", "tests/e2e/reports/", "tests/contract/")

# long tests that share nothing: a module of them would keep one process busy alone at the end
_APART = (
    "tests/property/",
    "tests/e2e/test_doctor_fix.py",
    "tests/e2e/test_least_privilege.py",
    "tests/e2e/test_probe.py",
)

# seconds, measured on two cores that did nothing else: for the setup of a group, and for each of its tests
_COSTS = (
    ("tests/e2e/test_compose_life.py", (40.0, 10.0)),
    ("tests/e2e/test_demo.py", (2.0, 27.0)),
    ("tests/e2e/test_doctor_fix.py", (2.0, 18.0)),
    ("tests/e2e/test_least_privilege.py", (2.0, 30.0)),
    ("tests/e2e/test_packaging.py", (60.0, 14.0)),
    ("tests/e2e/test_probe.py", (2.0, 19.0)),
    ("tests/e2e/matrix/", (6.0, 2.5)),
    ("tests/e2e/reports/", (2.0, 8.0)),
    ("tests/e2e/", (2.0, 6.0)),
    ("tests/contract/", (2.0, 2.0)),
    ("tests/property/test_simulation.py::test_everything_else", (0.0, 15.0)),
    ("tests/property/", (0.0, 3.0)),
    ("", (0.0, 0.3)),
)


def group(test: str) -> str:
    """The group of a test: its module and engine, or its directory and engine if modules share fixtures."""
    if test.startswith(_APART):
        return test
    module = test.partition("::")[0]
    where = next((directory for directory in _SHARING if module.startswith(directory)), module)
    engine = _ENGINE.search(test)
    return f"{where} {engine[1]}" if engine else module


def estimate(scope: str, tests: int) -> float:
    """Estimate how many seconds the tests of a group take, with its setup."""
    setup, each = next(cost for prefix, cost in _COSTS if scope.startswith(prefix))
    return setup + each * tests


class ByEngine(LoadScopeScheduling):  # type: ignore[misc]
    """Assigns groups to processes, the longest first, so that all processes end at about the same time."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)

    def _assign_work_unit(self, node: Any) -> None:
        longest = max(self.workqueue, key=lambda scope: estimate(scope, len(self.workqueue[scope])))
        self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
