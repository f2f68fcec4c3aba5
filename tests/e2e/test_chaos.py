"""A sample of `python -m tests.chaos`: each kind of fault once, at a moment that a fixed seed chooses."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.host import chaos_host
from tests.chaos.run import attempt
from tests.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.host import ChaosHost
    from tests.lab.cells import Cell
    from tests.lab.lab import EnginePool

_SEED = 7
_SAMPLE = (
    "table-deleted+forwarding-off+rule-deleted+network-removed+bridge-deleted",
    "answers-late+connections-lost+answers-truncated+errors-500",
    "operator-killed+engine-stopped+engine-killed",
    "state-full+state-read-only+state-damaged",
)

pytestmark = pytest.mark.cells("28.5")


@pytest.fixture(scope="module")
def host(cell: Cell, engine_pool: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosHost]:
    """A host with networks, containers and published ports, and with foreign ones."""
    station = engine_pool.acquire(cell.settings)
    lab = Lab(station.engine, station.neighbour, tmp_path_factory.mktemp("chaos"))
    try:
        with chaos_host(lab, random.Random(_SEED)) as host:
            yield host
    except BaseException as error:
        for title, log in lab.logs():
            error.add_note(f"--- {title}\n{log}")
        raise
    finally:
        engine_pool.release(station)


def test_the_sample_has_each_fault() -> None:
    assert sorted("+".join(_SAMPLE).split("+")) == sorted(FAULTS)


@pytest.mark.parametrize("fault", _SAMPLE)
def test_everything_is_as_before_after(host: ChaosHost, fault: str, report_logs_of: Callable[[Lab], None]) -> None:
    report_logs_of(host.lab)
    made = attempt(host, fault, _SEED)
    assert not made.problem, f"{made.done}; repeat with `{made.repeat}`"
