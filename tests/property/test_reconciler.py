"""Properties of the queue and of the manager, for any order of their operations."""

import asyncio
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dockerv6.reconciler.handler import Key, PermanentError, Requeue, TemporaryError
from dockerv6.reconciler.queue import KeyedQueue, QueueDepth
from tests.fakes.clock import FakeClock
from tests.property.examples import examples
from tests.unit.reconciler.harness import Bench, Step

QUEUE_KEYS = st.sampled_from([Key("Thing", name) for name in "abcd"])
DELAYS = st.integers(1, 20)


class QueueMachine(RuleBasedStateMachine):
    """Compares the queue with a model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue = KeyedQueue(self.clock)
        self.processing: set[Key] = set()
        self.pending: set[Key] = set()  # added and not yet taken
        self.retries: dict[Key, float] = {}

    @rule(key=QUEUE_KEYS)
    def add(self, key: Key) -> None:
        self.queue.add(key)
        self.pending.add(key)

    @rule(key=QUEUE_KEYS, delay=DELAYS)
    def retry_after(self, key: Key, delay: int) -> None:
        self.queue.retry_after(key, delay)
        self.retries[key] = min(self.retries.get(key, float("inf")), self.clock.monotonic() + delay)

    @rule()
    def take(self) -> None:
        taken = self.queue.take()
        if taken is None:
            assert self.pending <= self.processing
            return
        key, waited = taken
        assert waited >= 0
        assert key not in self.processing
        assert key in self.pending
        self.processing.add(key)
        self.pending.remove(key)
        self.retries.pop(key, None)

    @precondition(lambda self: self.processing)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.processing)))
        self.queue.done(key)
        self.processing.remove(key)

    @rule(seconds=st.integers(0, 10))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)
        now = self.clock.monotonic()
        wait = self.queue.promote()
        for key in [key for key, due in self.retries.items() if due <= now]:
            del self.retries[key]
            self.pending.add(key)
        assert wait == (min(self.retries.values()) - now if self.retries else None)

    @invariant()
    def depths_agree(self) -> None:
        depth = self.queue.depth
        assert depth.ready == len(self.pending)
        assert depth.processing == len(self.processing)
        assert depth.retrying == len(self.retries)

    def teardown(self) -> None:
        """Finally, exactly the pending keys can be taken."""
        for key in sorted(self.processing):
            self.queue.done(key)
        self.clock.advance(100)
        self.queue.promote()
        pending = self.pending | self.retries.keys()
        found = []
        while (taken := self.queue.take()) is not None:
            found.append(taken[0])
            self.queue.done(taken[0])
        assert sorted(found) == sorted(pending)
        assert self.queue.promote() is None


TestQueue = QueueMachine.TestCase


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


@examples(50)
@given(CHANGES, st.dictionaries(KEYS, st.lists(STEPS, max_size=6)), st.integers(1, 4))
def test_every_change_is_followed_by_a_run_and_no_key_runs_beside_itself(
    changes: list[Change], steps: dict[Key, list[Step]], workers: int
) -> None:
    asyncio.run(simulate(changes, steps, workers))
