"""For any handlers and any order of changes: one run at a time for each key, and one after its last change."""

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from dockerv6.reconciler.handler import Key, PermanentError, Requeue, TemporaryError
from dockerv6.reconciler.queue import QueueDepth
from tests.unit.reconciler.harness import Bench, Step

KEYS = st.sampled_from([Key("Network", name) for name in "abc"])


@dataclass(frozen=True)
class Change:
    """A key that is enqueued some seconds after the change before it."""

    after: float
    key: Key
    deleted: bool


SECONDS = st.integers(0, 40).map(lambda tenths: tenths / 10)
CHANGES = st.lists(st.builds(Change, SECONDS, KEYS, st.booleans()), max_size=20)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.none(),
    SECONDS,
    SECONDS.map(Requeue),
    SECONDS.map(lambda delay: TemporaryError("later", delay=delay)),
    st.sampled_from([TemporaryError("later"), PermanentError("never"), OSError("bug"), asyncio.CancelledError()]),
)


def runs_of(bench: Bench, key: Key) -> list[float]:
    return [time for time, _, which in bench.script.runs if which == key]


async def simulate(changes: list[Change], steps: dict[Key, list[Step]], workers: int) -> None:
    bench = Bench(workers=workers)
    for key, plan in steps.items():
        bench.script.plan(key, *plan)
    runs_before: dict[Key, int] = {}  # before the key's last change
    async with bench.manager:
        for change in changes:
            await bench.clock.run_for(change.after)
            if change.deleted:
                bench.tombstones.keys.add(change.key)
            bench.manager.enqueue(change.key, "changed")
            runs_before[change.key] = len(runs_of(bench, change.key))
        await bench.clock.run_for(1000)
        # The harness itself fails when a key is handled twice at a time.
        for key, before in runs_before.items():
            assert len(runs_of(bench, key)) > before
            outcome = bench.recorder.last(key)
            assert outcome is not None
            assert outcome.retry_after is None
        assert {which for _, _, which in bench.script.runs} == runs_before.keys()
        assert not bench.tombstones.keys or any(
            isinstance(step, PermanentError) for plan in steps.values() for step in plan
        )
        assert bench.manager.depth == QueueDepth(ready=0, processing=0, retrying=0)


@settings(max_examples=100, deadline=None)
@given(CHANGES, st.dictionaries(KEYS, st.lists(STEPS, max_size=6)), st.integers(1, 4))
def test_every_change_is_followed_by_a_run_and_no_key_runs_beside_itself(
    changes: list[Change], steps: dict[Key, list[Step]], workers: int
) -> None:
    asyncio.run(simulate(changes, steps, workers))
