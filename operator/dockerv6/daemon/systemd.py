"""What the daemon and systemd tell each other: readiness, reloads, the watchdog."""

import faulthandler
import os
import socket
import time
from collections.abc import Callable, Mapping

from dockerv6.lib.clock import Clock
from dockerv6.lib.text import small_number

READY = "READY=1"
STOPPING = "STOPPING=1"

_MICROSECONDS = 1_000_000


def notify(state: str) -> None:
    """Send a state to systemd, if it started the daemon with ``Type=notify`` (sd_notify(3), NOTIFY_SOCKET)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(state.encode())


def notify_reloading() -> None:
    """Tell systemd that a reload begins; `READY` ends it. The time is required since version 253."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def watchdog_interval(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds between messages to the watchdog: half its time (sd_watchdog_enabled(3)); None: there is no watchdog."""
    limit, process = small_number(environment.get("WATCHDOG_USEC", "")), environment.get("WATCHDOG_PID", "")
    if not limit or process not in {"", str(os.getpid())}:
        return None
    return limit / _MICROSECONDS / 2


async def feed_watchdog(clock: Clock, check: Callable[[], str]) -> None:
    """Feed the watchdog from the event loop, for ever, while a check finds nothing; returns if there is none.

    systemd then ends a daemon whose loop or reconciles hang with SIGABRT, and starts it again. Where it hung is logged.

    Args:
        clock: of the intervals.
        check: returns what hangs; "" if nothing does.
    """
    interval = watchdog_interval()
    if interval is None:
        return
    faulthandler.enable()
    while True:
        if not check():
            notify("WATCHDOG=1")
        await clock.sleep(interval)
