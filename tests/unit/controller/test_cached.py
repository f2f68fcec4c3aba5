import asyncio

import pytest

from dockerv6.controller.cached import Cached


class Source:
    """A value that is read slowly, and counted."""

    def __init__(self, value: int = 1) -> None:
        self.value = value
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def read(self) -> int:
        self.reads += 1
        value = self.value
        await self.gate.wait()
        return value


class TestCached:
    async def test_it_is_read_once_until_it_is_doubtful(self) -> None:
        source = Source()
        cached = Cached(source.read)
        assert (cached.last, await cached.get(), await cached.get(), source.reads) == (None, 1, 1, 1)
        source.value = 2
        cached.invalidate()
        assert (await cached.get(), source.reads) == (2, 2)

    async def test_one_read_serves_concurrent_uses(self) -> None:
        source = Source()
        cached = Cached(source.read)
        assert await asyncio.gather(*(cached.get() for _ in range(5))) == [1] * 5
        assert source.reads == 1

    async def test_a_current_value_does_not_wait_for_tasks_that_waited_for_the_read(self) -> None:
        source = Source()
        source.gate.clear()
        cached = Cached(source.read)
        first, *others = [asyncio.create_task(cached.get()) for _ in range(10)]
        await asyncio.sleep(0)
        source.gate.set()
        await first
        assert not others[-1].done()
        with pytest.raises(StopIteration) as returned:
            cached.get().send(None)
        assert returned.value.value == 1
        await asyncio.gather(*others)

    async def test_what_becomes_doubtful_while_it_is_read_is_read_again(self) -> None:
        source = Source()
        source.gate.clear()
        cached = Cached(source.read)
        first = asyncio.create_task(cached.get())
        await asyncio.sleep(0)
        cached.invalidate()
        source.value = 2
        source.gate.set()
        assert (await first, await cached.get()) == (1, 2)

    async def test_what_is_put_in_counts_and_a_read_under_way_does_not(self) -> None:
        source = Source()
        cached = Cached(source.read)
        await cached.get()
        cached.put(7)
        assert (await cached.get(), source.reads) == (7, 1)
        cached.invalidate()
        source.gate.clear()
        late = asyncio.create_task(cached.get())
        await asyncio.sleep(0)
        cached.put(8)
        source.value = 8
        source.gate.set()
        await late
        assert await cached.get() == 8

    async def test_a_read_that_fails_leaves_it_doubtful(self) -> None:
        fail = True

        async def read() -> int:
            if fail:
                raise ValueError
            return 1

        cached = Cached(read)
        with pytest.raises(ValueError):  # noqa: PT011 - raised above
            await cached.get()
        fail = False
        assert await cached.get() == 1
