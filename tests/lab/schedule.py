"""Which tests of a parallel run stay in one process: those that share fixtures on one engine.

pytest-xdist has marks for this (`--dist loadgroup`), but 3.8 ignores them with pytest 9.2. This uses the tests' names.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer  # type: ignore[import-untyped]

# the parameter that names an engine: "28.5", "20.10-on-nft-proxy"
_ENGINE = re.compile(r"\[.*?(\d\d\.\d+(?:-off|-on)?(?:-(?:nft|legacy)-(?:no)?proxy)?)")
# directories whose modules share fixtures on an engine
_SHARING = ("tests/e2e/matrix/", "tests/contract/")


def group(test: str) -> str:
    """The group of a test: its module and engine, or its directory and engine if modules share fixtures."""
    module = test.partition("::")[0]
    where = next((directory for directory in _SHARING if module.startswith(directory)), module)
    engine = _ENGINE.search(test)
    return f"{where} {engine[1]}" if engine else module


class ByEngine(LoadScopeScheduling):  # type: ignore[misc]
    """Assigns groups to processes, the largest first."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
