import asyncio
import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from dockerv6.daemon import heap
from tests.fakes.clock import FakeClock


class Library:
    """A C library that records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def malloc_trim(self, *arguments: int) -> None:
        self.calls.append(("malloc_trim", arguments))

    def mallopt(self, *arguments: int) -> None:
        self.calls.append(("mallopt", arguments))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    return library


def test_all_threads_share_one_arena(library: Library) -> None:
    heap.use_one_arena()
    assert library.calls == [("mallopt", (-8, 1))]


def test_loaded_modules_are_not_visited_by_collections() -> None:
    program = (
        "import gc, dockerv6.daemon.process\n"
        "from dockerv6.daemon.heap import freeze_modules\n"
        "before = len(gc.get_objects())\n"
        "freeze_modules()\n"
        "print(len(gc.get_objects()) < before / 10)"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "True"


async def test_memory_is_trimmed_once_after_each_period_of_work(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = [0.0]
    monkeypatch.setattr(heap, "time", SimpleNamespace(process_time=lambda: spent[0]))
    clock = FakeClock()
    task = asyncio.create_task(heap.give_back(clock))
    await clock.run_for(60)
    assert library.calls == []
    for times in (1, 2):
        spent[0] += 1.0
        await clock.run_for(60)
        assert len(library.calls) == times
    task.cancel()


@pytest.mark.parametrize("each", [0.01, 1.0])
async def test_memory_is_trimmed_neither_during_work_nor_at_rest(
    library: Library, monkeypatch: pytest.MonkeyPatch, each: float
) -> None:
    """At rest, the daemon needs some milliseconds in each interval: their sum is no work."""
    spent = [0.0]

    def work() -> float:
        spent[0] += each
        return spent[0]

    monkeypatch.setattr(heap, "time", SimpleNamespace(process_time=work))
    clock = FakeClock()
    task = asyncio.create_task(heap.give_back(clock))
    await clock.run_for(600)
    assert library.calls == []
    task.cancel()


async def test_a_c_library_without_these_functions_is_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    heap.use_one_arena()
    await heap.give_back(FakeClock())


def test_the_daemon_reads_responses_without_guessing_their_encoding() -> None:
    program = (
        "import sys; from dockerv6.daemon.heap import no_encoding_guesses\n"
        "with no_encoding_guesses(): import dockerv6.daemon.process\n"
        "print('charset_normalizer' in sys.modules)\n"
        "import requests\n"
        "answer = requests.Response(); answer._content = '{\"é\": 1}'.encode()\n"
        "print(answer.json() == {'é': 1}, answer.text)\n"
        "import charset_normalizer\n"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout.split("\n")[:2] == ["False", 'True {"é": 1}']
