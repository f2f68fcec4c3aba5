"""Writing legacy tables through libiptc (python-iptables), under the lock of xtables. Blocking.

libiptc reads a table whole and writes it whole, so both happen under the lock, or a rule that dockerd adds in between
would be lost. python-iptables doesn't lock, and isn't made for several threads: whatever calls into it holds the lock,
which also keeps this process's own threads apart (flock(2): by open file, not by process).

python-iptables costs 13 MB and may run modprobe when it is imported, so it is imported by the first `opened`. Its calls
that take entries as bytes are used; its `Rule6` would cost 0.2 ms a rule.

It is an extra of the distribution (`dockerv6[iptables]`), because it has to be compiled, and only hosts where legacy
tables are in use need it.
"""

import ctypes
import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from warnings import catch_warnings, simplefilter

from dockerv6.firewall.port import FirewallBusy, FirewallError, FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables.legacy import LegacyReader

if TYPE_CHECKING:
    from types import ModuleType

    import iptc

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOCK = Path("/run/xtables.lock")
"""What ip6tables-legacy locks (XTABLES_LOCKFILE is for its tests)."""

MISSING = "python-iptables is not installed, without which legacy tables can't be written"

REMEDY = "pip install 'dockerv6[iptables]', with gcc and libc6-dev; the Debian package and the image have it"
"""For `MISSING`."""

POLL = 0.05
POLLS = 200
"""Ten seconds in all; one ip6tables call holds the lock for milliseconds."""

_ATTEMPTS = 8

_errno_location = ctypes.PyDLL(None)["__errno_location"]
_errno_location.restype = ctypes.POINTER(ctypes.c_int)


class TableChanged(FirewallError):  # noqa: N818 - named for what happened
    """Another process has written the table since it was opened, without taking the lock."""


def write(work: Callable[[], T]) -> T:
    """Run what reads tables and commits them, under the lock; again if another process writes one without the lock.

    Raises:
        FirewallUnavailable: the lock file can't be opened.
        FirewallBusy: another process holds the lock for too long, or keeps changing the tables without it.
    """
    for _ in range(_ATTEMPTS):
        try:
            with _locked():
                return work()
        except TableChanged:
            logger.info("a table changed while it was being written; trying again with what it holds now")
    raise FirewallBusy("another process keeps changing the legacy IPv6 tables without taking their lock")


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the lock.

    Raises:
        FirewallUnavailable: the lock file can't be opened.
        FirewallBusy: another process holds the lock for too long.
    """
    try:
        lock = os.open(LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FirewallUnavailable(
            f"can't open {LOCK} ({error.strerror}), without which a rule of the engine's could get lost: "
            "mount the host's /run/xtables.lock"
        ) from error
    try:
        for _ in range(POLLS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(POLL)
            except OSError as error:  # such as ENOLCK, of a file system without locks
                raise FirewallUnavailable(f"can't lock {LOCK}: {error.strerror}") from error
        else:
            raise FirewallBusy(f"another process has held {LOCK} for {POLL * POLLS:.0f} s")
        yield
    finally:
        os.close(lock)


@contextmanager
def opened(name: str) -> Iterator["iptc.Table6"]:
    """The IPv6 table, read afresh; under the lock. Closing it commits nothing.

    python-iptables keeps one object a table for ever, and its rules ask all tables that it knows, also closed ones,
    whether a target's name is a chain of theirs: a null pointer, and the end of the process (1.2.0, `Target.__init__`).
    So what is closed is removed from its caches too.

    Raises:
        FirewallUnavailable: no library, no such table, or no privilege.
        FirewallRejected: libiptc or the kernel refused something.
    """
    iptc = library()
    LegacyReader().has_table(name)  # raises FirewallForbidden by the kernel's errno, which libiptc would not give
    table = None
    try:
        table = iptc.Table6(name, autocommit=False)
        yield table
    except iptc.IPTCError as error:
        if table is None:
            raise FirewallUnavailable(
                f"the kernel has no legacy IPv6 table {name} ({error}): load it with `modprobe ip6table_{name}`"
            ) from error
        raise FirewallRejected(f"iptables-legacy refused: {error}") from error
    finally:
        for each in iptc.Table6._cache.values():  # noqa: SLF001 - the library has no other way
            each.autocommit = False
            each.close()
        iptc.Table6._cache.clear()  # noqa: SLF001
        iptc.Chain._cache.clear()  # noqa: SLF001 - they hold the tables


def installed() -> bool:
    """Whether there is python-iptables; imports nothing."""
    return find_spec("iptc") is not None


def library() -> "ModuleType":
    """python-iptables. Raises `FirewallUnavailable` where it is missing, or libip6tc or libxtables."""
    if not installed():
        raise FirewallUnavailable(f"{MISSING}: {REMEDY}")
    try:
        with catch_warnings():
            simplefilter("ignore", DeprecationWarning)  # python-iptables 1.2.0 asks distutils first where there is one
            import iptc  # noqa: PLC0415 - heavy
    except (ImportError, AttributeError, OSError) as missing:  # AttributeError: of the None that stands for a library
        raise FirewallUnavailable(
            f"libip6tc or libxtables can't be loaded ({missing}), without which iptables-legacy can't be written: "
            "apt install iptables (or your distribution's iptables-legacy)"
        ) from missing
    module: ModuleType = iptc
    return module


def commit(table: "iptc.Table6") -> None:
    """Hand the table to the kernel. Raises `FirewallRejected`, `TableChanged`."""
    iptc = library()
    try:
        table.commit()
    except iptc.IPTCError as error:
        # read as python-iptables does: its error has the text only, and nothing here calls the system in between
        if _errno_location()[0] == errno.EAGAIN:  # the table has another number of rules (xt_replace_table)
            raise TableChanged from error
        raise FirewallRejected(f"iptables-legacy refused: {error}") from error


def append(table: "iptc.Table6", chain: str, entry: bytes) -> None:
    """Add an entry at the end of a chain. Nothing reaches the kernel before the commit; so with `insert`, `delete`."""
    table.append_entry(chain, _buffer(entry))


def insert(table: "iptc.Table6", chain: str, entry: bytes, at: int = 0) -> None:
    """Add an entry in front of the one of this index; without one there, at the end of the chain."""
    table.insert_entry(chain, _buffer(entry), at)


def delete(table: "iptc.Table6", chain: str, entry: bytes) -> None:
    """Delete the first entry of a chain that is equal to this one, but for its counters."""
    table.delete_entry(chain, _buffer(entry), (ctypes.c_ubyte * len(entry))(*(b"\xff" * len(entry))))


def _buffer(entry: bytes) -> "ctypes.Array[ctypes.c_char]":
    return ctypes.create_string_buffer(entry, len(entry))
