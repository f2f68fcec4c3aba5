"""What the daemon and systemd tell each other: readiness, reloads, the watchdog, the environment file of the unit."""

import faulthandler
import os
import shlex
import socket
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

from dockerv6.lib.clock import Clock

READY = "READY=1"
STOPPING = "STOPPING=1"

ENVIRONMENT_FILE = "DOCKERV6_ENVIRONMENT_FILE"
"""The variable that names the unit's EnvironmentFile, which only a start of the service would read otherwise."""

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
    limit, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not limit.isdecimal() or int(limit) == 0 or process not in {"", str(os.getpid())}:
        return None
    return int(limit) / _MICROSECONDS / 2


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


class EnvironmentFile:
    """The unit's EnvironmentFile, read again at a reload, as at a start (systemd.exec(5))."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Read it once, so that variables that it loses later can be told from those of elsewhere."""
        self._environment = environment
        self._path = environment.get(ENVIRONMENT_FILE, "")
        try:
            self._applied = self._read()
        except (OSError, ValueError):  # systemd has ignored it too, or has read what it could
            self._applied = {}

    def apply(self) -> None:
        """Change the environment to what the file has now.

        Raises:
            OSError, ValueError: it can't be read, or a value has an open quote; the environment is unchanged.
        """
        found = self._read()
        for name in self._applied.keys() - found.keys():
            self._environment.pop(name, None)
        self._environment.update(found)
        self._applied = found

    def _read(self) -> dict[str, str]:
        if not self._path:
            return {}
        try:
            lines = Path(self._path).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        assignments = (line.partition("=") for line in map(str.strip, lines) if line and line[0] not in "#;")
        return {name.strip(): _unquoted(name, value) for name, equals, value in assignments if equals}


def _unquoted(name: str, value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError as error:
        raise ValueError(f"the value of {name.strip()} can't be read: {error}") from error
