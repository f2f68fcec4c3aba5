"""The lock of everybody who changes xtables' legacy tables. Blocking.

libiptc reads a table whole and writes it whole, so reading and writing happen under this lock, or a rule that dockerd
adds in between would be lost. python-iptables itself doesn't lock, and isn't made for several threads: whatever calls
into it holds this lock, which keeps this process's own threads apart as well (flock(2): by open file, not by process).
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable

LOCK = Path("/run/xtables.lock")
"""What ip6tables-legacy locks (XTABLES_LOCKFILE is for its tests)."""

POLL = 0.05
POLLS = 200
"""Ten seconds in all; one ip6tables call holds the lock for milliseconds."""


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the lock.

    Raises:
        FirewallUnavailable: there can be no lock.
        FirewallRejected: somebody holds it for too long.
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
        else:
            raise FirewallRejected(f"somebody has held {LOCK} for {POLL * POLLS:.0f} s")
        yield
    finally:
        os.close(lock)
