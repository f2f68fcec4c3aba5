"""Tables of libiptc, opened and closed for good. Blocking; under the lock (see `lock`).

python-iptables keeps one object a table for ever, and its rules ask all tables that it knows whether a target's name is
a chain of theirs, also those that were closed: a null pointer, and the end of the process (1.2.0, `Target.__init__`).
So whatever is closed is forgotten too, and with it what the library has opened on the way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from warnings import catch_warnings, simplefilter

with catch_warnings():
    simplefilter("ignore", DeprecationWarning)  # python-iptables 1.2.0 asks distutils first where there is one
    import iptc


@contextmanager
def opened(name: str) -> Iterator[iptc.Table6]:
    """The table, read afresh. Closing it commits nothing. Raises `iptc.IPTCError`."""
    try:
        table = iptc.Table6(name, autocommit=False)
        yield table
    finally:
        for each in iptc.Table6._cache.values():  # noqa: SLF001 - the library has no other way
            each.autocommit = False
            each.close()
        iptc.Table6._cache.clear()  # noqa: SLF001
        iptc.Chain._cache.clear()  # noqa: SLF001 - they hold the tables
