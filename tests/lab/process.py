"""Run programs for the lab, report the output of failed ones, and end those that a killed test run left behind."""

from __future__ import annotations

import os
import platform
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.lab.warm import Copy

# in the environment of every process that the lab starts; the value is the session's identifier
MARK = "D6_LAB_SESSION"


class CommandFailedError(RuntimeError):
    """A program ended with a status other than 0. The message contains its arguments and its output."""

    def __init__(self, completed: subprocess.CompletedProcess[str]) -> None:
        self.completed = completed
        super().__init__(
            f"status {completed.returncode} from: {' '.join(map(str, completed.args))}\n"
            f"--- standard output\n{completed.stdout}\n--- standard error\n{completed.stderr}"
        )


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    timeout: float = 120.0,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end (at most `timeout` seconds) and return its status and output.

    `stdin` is the text of its standard input, by default empty.

    Raises:
        CommandFailedError: `check` is set and the status is not 0.
        subprocess.TimeoutExpired: the program was killed after `timeout` seconds.
    """
    completed = subprocess.run(
        list(argv), check=False, capture_output=True, text=True, timeout=timeout, env=env, input=stdin or ""
    )
    return checked(completed) if check else completed


def as_nobody(argv: Sequence[str]) -> list[str]:
    """The program as the user nobody, who may read every file: the checkout may be in a directory of root's."""
    only = "-all,+dac_read_search"
    capabilities = (f"--{kind}={only}" for kind in ("inh-caps", "ambient-caps", "bounding-set"))
    return ["setpriv", "--reuid=65534", "--clear-groups", *capabilities, *argv]


def checked(completed: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Return it; raises CommandFailedError if its status is not 0."""
    if completed.returncode != 0:
        raise CommandFailedError(completed)
    return completed


def marked_environment(session: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment with the lab's mark, by which a sweep finds the processes started with it."""
    return {**os.environ, MARK: session, **(extra or {})}


def spawn(argv: Sequence[str], log: Path, session: str) -> subprocess.Popen[str]:
    """Start a program in the background, with no input and its output in a log, to which it is appended."""
    with log.open("a") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
            env=marked_environment(session),
        )


def first_child(pid: int) -> int:
    """Return the identifier of a process's first child. Raises LookupError if there is none."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def wait_gone(pid: int, timeout: float) -> bool:
    """Wait until any process has ended, or is a zombie; return False after `timeout` seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(descriptor)


def end(
    process: subprocess.Popen[str] | Copy, *, first: signal.Signals = signal.SIGTERM, patience: float = 10.0
) -> int:
    """Signal a child, kill it after `patience` seconds, and return its status (negative: the number of a signal)."""
    if process.poll() is None:
        process.send_signal(first)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    status = process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    return status


def kill_marked(session: str, timeout: float = 20.0) -> None:
    """Kill every process with the session's mark, and wait until they have ended.

    Raises:
        RuntimeError: some processes have not ended after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while pids := list(_marked(session)):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            wait_gone(pid, max(0.0, deadline - time.monotonic()))
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {pids} of lab session {session} do not end")


def _marked(session: str) -> Iterator[int]:
    wanted = f"{MARK}={session}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            # a zombie's environment reads as empty
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            yield int(entry.name)


def kernel_version() -> str:
    """Major and minor version of the kernel; the rest says who built it."""
    return ".".join(platform.release().split(".")[:2])
