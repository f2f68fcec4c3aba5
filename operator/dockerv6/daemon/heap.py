"""Keeps the daemon's resident memory near what it uses, not near what it once needed.

Reading a table of hundreds of networks takes megabytes for milliseconds. glibc keeps freed memory for later, in an
arena for each thread: mallopt(3), malloc_trim(3). Other C libraries have neither function (musl returns memory by
itself), and nothing is done there.
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
_INTERVAL = 5.0  # seconds between checks for work
# seconds of CPU time in an interval that count as work. At rest the daemon needs less; a trim takes 2 to 4 ms
_WORK = 0.025


_DETECTORS = ("charset_normalizer", "chardet")
"""Modules with which requests guesses encodings, if one is installed: 3 MiB of tables. We read only JSON."""


@contextmanager
def no_encoding_guesses() -> Iterator[None]:
    """Hide the detectors from requests (>= 2.32 works without) if the block imports it for the first time."""
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
    """Make all threads share the main heap. Call it before there are threads.

    Arenas avoid contention between threads, which the interpreter's lock rules out anyway.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def freeze_modules() -> None:
    """Exclude all present objects from garbage collection. Call it when the modules are loaded, which stay for ever.

    They are most of the heap: without this, each full collection visits 60,000 objects, which takes longer than a trim.
    """
    gc.collect()  # a dataclass with slots leaves the class that it replaces
    gc.freeze()


async def give_back(clock: Clock) -> None:
    """Return free memory to the system after each period of work, for ever."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return
    worked, before = False, time.process_time()
    while True:
        await clock.sleep(_INTERVAL)
        working = time.process_time() - before >= _WORK
        if worked and not working:
            gc.collect()
            trim(0)
        worked, before = working, time.process_time()
