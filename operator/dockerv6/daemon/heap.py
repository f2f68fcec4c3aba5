"""Keeps the resident memory of a daemon that mostly waits near what it holds, rather than near what it once needed.

Reading a table of hundreds of networks takes megabytes for milliseconds. glibc keeps freed memory for its next use, and
gives each thread an arena of its own, which keeps its own: mallopt(3), malloc_trim(3). Elsewhere (musl has neither
function, and returns memory by itself) nothing is done.
"""

import ctypes
import gc
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dockerv6.lib.clock import Clock

_M_ARENA_MAX = -8  # malloc.h
_LOOK = 5.0  # seconds between looks at whether there was work
_WORK = 0.05  # seconds of CPU time that count as work; trimming takes 2 to 4 ms


_DETECTORS = ("charset_normalizer", "chardet")
"""What requests guesses encodings with, where it finds one of them: 3 MiB of tables. All that we read is JSON."""


@contextmanager
def no_encoding_guesses() -> Iterator[None]:
    """Have requests, if it is imported for the first time in the block, do without them, as it well can (>= 2.32)."""
    hidden = [name for name in _DETECTORS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None makes an import fail, as documented
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")
            yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def use_one_arena() -> None:
    """Have all threads share the main heap. To be called before there are threads.

    Arenas keep threads from waiting for each other, which the interpreter's lock has them do anyway.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


async def give_back(clock: Clock) -> None:
    """After each time of work, when it is over, give back to the system what is free; for ever."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return
    trimmed, before = 0.0, time.process_time()
    while True:
        await clock.sleep(_LOOK)
        now = time.process_time()
        if now - before < _WORK / 2 and before - trimmed >= _WORK:
            gc.collect()
            trim(0)
            trimmed = now = time.process_time()
        before = now
