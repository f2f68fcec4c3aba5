"""What the daemon tells systemd, and what it reads at a reload."""

import asyncio
import faulthandler
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerv6.daemon import systemd
from tests.fakes.clock import FakeClock


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The end of NOTIFY_SOCKET that systemd has."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield end


def test_the_socket_of_systemd_may_be_abstract(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"dockerv6-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        systemd.notify(systemd.READY)
        assert end.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify(systemd.READY)


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 5000}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.25),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(environment: dict[str, str], interval: float | None) -> None:
    assert systemd.watchdog_interval(environment) == interval


async def test_the_watchdog_is_fed_while_nothing_hangs(channel: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "40000000")
    monkeypatch.setattr(faulthandler, "enable", lambda: None)  # pytest has its own
    answers = iter(("", "IPv6Network/blog for 301 s", "IPv6Network/blog for 321 s", ""))
    clock = FakeClock()
    task = asyncio.create_task(systemd.feed_watchdog(clock, lambda: next(answers)))
    fed = []
    for _ in range(4):
        await asyncio.sleep(0)
        try:
            fed.append(channel.recv(100))
        except BlockingIOError:
            fed.append(b"")
        clock.advance(20)
        await asyncio.sleep(0)
    task.cancel()
    assert fed == [b"WATCHDOG=1", b"", b"", b"WATCHDOG=1"]


async def test_without_a_watchdog_nothing_is_fed(channel: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    await systemd.feed_watchdog(FakeClock(), lambda: "")
    with pytest.raises(BlockingIOError):
        channel.recv(100)
