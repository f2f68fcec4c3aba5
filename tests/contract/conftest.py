"""Engines for the contract suite: three versions of the fake, and real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.engines import FakeBench, RealBench
from tests.fakes.dockerd.versions import ENGINE_20_10, ENGINE_26_1, ENGINE_28_5

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.contract.engines import Bench
    from tests.lab.session import Session


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(ENGINE_20_10, id="fake-20.10"),
        pytest.param(ENGINE_26_1, id="fake-26.1"),
        pytest.param(ENGINE_28_5, id="fake-28.5"),
        pytest.param("20.10", id="real-20.10", marks=pytest.mark.e2e),
        pytest.param("28.5", id="real-28.5", marks=pytest.mark.e2e),
    ],
)
def make_bench(request: pytest.FixtureRequest) -> Iterator[Callable[[], Bench]]:
    if not isinstance(request.param, str):
        yield lambda: FakeBench(request.param)
        return
    session: Session = request.getfixturevalue("lab_session")
    lab = RealBench.start(session, request.param)
    yield lambda: RealBench(lab)
    lab.remove()


@pytest.fixture
async def bench(make_bench: Callable[[], Bench]) -> AsyncIterator[Bench]:
    bench = make_bench()
    yield bench
    await bench.clear()
