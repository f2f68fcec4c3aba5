"""Which tests of a parallel run stay together in one process: those that use what was made once for an engine.

pytest-xdist has marks for that (`--dist loadgroup`), but 3.8 with pytest 9.2 overlooks them; this goes by the tests'
names.
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
# directories whose modules share what they make for an engine
_SHARING = ("tests/e2e/matrix/", "tests/contract/")


def group(test: str) -> str:
    """The name of the group of a test: its module and engine; its directory and engine where modules share."""
    module = test.partition("::")[0]
    where = next((directory for directory in _SHARING if module.startswith(directory)), module)
    engine = _ENGINE.search(test)
    return f"{where} {engine[1]}" if engine else module


class ByEngine(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a process one group after the other, the largest first."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
