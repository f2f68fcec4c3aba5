from collections.abc import AsyncIterator

import pytest

from tests.unit.reconciler.harness import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    bench.manager.start()
    yield bench
    await bench.clock.run_until(bench.manager.stop())
