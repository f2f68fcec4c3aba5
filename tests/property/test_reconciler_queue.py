"""For any interleaving of its operations the queue gives no key to two workers at a time and loses none."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dockerv6.reconciler.handler import Key
from dockerv6.reconciler.queue import KeyedQueue
from tests.fakes.clock import FakeClock

KEYS = st.sampled_from([Key("Thing", name) for name in "abcd"])
DELAYS = st.integers(1, 20)


class QueueMachine(RuleBasedStateMachine):
    """Compares the queue with a model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue = KeyedQueue(self.clock)
        self.held: set[Key] = set()
        self.owed: set[Key] = set()  # added, and not taken since
        self.retries: dict[Key, float] = {}

    @rule(key=KEYS)
    def add(self, key: Key) -> None:
        self.queue.add(key)
        self.owed.add(key)

    @rule(key=KEYS, delay=DELAYS)
    def retry_after(self, key: Key, delay: int) -> None:
        self.queue.retry_after(key, delay)
        self.retries[key] = min(self.retries.get(key, float("inf")), self.clock.monotonic() + delay)

    @rule()
    def take(self) -> None:
        taken = self.queue.take()
        if taken is None:
            assert self.owed <= self.held
            return
        key, waited = taken
        assert waited >= 0
        assert key not in self.held
        assert key in self.owed
        self.held.add(key)
        self.owed.remove(key)
        self.retries.pop(key, None)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        self.queue.done(key)
        self.held.remove(key)

    @rule(seconds=st.integers(0, 10))
    def pass_time(self, seconds: int) -> None:
        self.clock.advance(seconds)
        now = self.clock.monotonic()
        wait = self.queue.promote()
        for key in [key for key, due in self.retries.items() if due <= now]:
            del self.retries[key]
            self.owed.add(key)
        assert wait == (min(self.retries.values()) - now if self.retries else None)

    @invariant()
    def depths_agree(self) -> None:
        depth = self.queue.depth
        assert depth.ready == len(self.owed)
        assert depth.processing == len(self.held)
        assert depth.retrying == len(self.retries)

    def teardown(self) -> None:
        """In the end every key that is owed can be taken, and nothing else."""
        for key in sorted(self.held):
            self.queue.done(key)
        self.clock.advance(100)
        self.queue.promote()
        owed = self.owed | self.retries.keys()
        found = []
        while (taken := self.queue.take()) is not None:
            found.append(taken[0])
            self.queue.done(taken[0])
        assert sorted(found) == sorted(owed)
        assert self.queue.promote() is None


TestQueue = QueueMachine.TestCase
