"""Whatever befalls a child process or a thread of the host's filter is a `FirewallError`."""

from __future__ import annotations

import errno
import fcntl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from dockerv6.firewall.hostfilter import linux
from dockerv6.firewall.hostfilter.linux import LinuxHostFilter
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallBusy, FirewallError, FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables import libiptc

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("failure", "error", "text"),
    [
        (FileNotFoundError(errno.ENOENT, "no"), FirewallUnavailable, "apt install iptables"),
        (PermissionError(errno.EACCES, "permission denied"), FirewallUnavailable, "permission denied"),
        (BlockingIOError(errno.EAGAIN, "temporarily unavailable"), FirewallUnavailable, "temporarily unavailable"),
        (OSError(errno.ENOMEM, "no memory"), FirewallUnavailable, "no memory"),
        (subprocess.TimeoutExpired("x", 30), FirewallBusy, "not ended within 30 s"),
        (subprocess.SubprocessError("preexec"), FirewallUnavailable, "preexec"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_a_child_process_that_fails_is_a_firewall_error(
    failure: Exception, error: type[FirewallError], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(error, match=text):
        linux._restore_nft("*filter\nCOMMIT\n")


def test_a_message_in_another_encoding_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "restore"
    program.write_text("#!/bin/sh\nprintf 'line 1 failed \\377' >&2\nexit 2\n")
    program.chmod(0o700)
    monkeypatch.setattr(linux, "PROGRAM", str(program))
    with pytest.raises(FirewallRejected, match="line 1 failed \ufffd"):
        linux._restore_nft("COMMIT\n")


def test_a_file_system_without_locks_is_a_firewall_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(libiptc, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(FirewallUnavailable, match="no locks available"):
        libiptc.write(lambda: None)


async def test_a_thread_that_can_not_be_started_is_a_firewall_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    session = NftSession()
    try:
        host_filter = LinuxHostFilter(session)
        monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
        with pytest.raises(FirewallUnavailable, match="can't start new thread"):
            await host_filter.poll_revision()
    finally:
        monkeypatch.undo()
        await session.close()
