"""Network namespaces of the lab: create, run programs inside, remove."""

from __future__ import annotations

import ctypes
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.process import marked_environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CLONE_NEWNET = 0x40000000
_DIRECTORY = Path("/run/netns")


class Namespace:
    """A named network namespace with its loopback up."""

    def __init__(self, session: str, name: str) -> None:
        self.session = session
        self.name = name

    @classmethod
    def create(cls, session: str, name: str) -> Namespace:
        """Create the namespace, with its loopback up."""
        run(["ip", "netns", "add", name])
        namespace = cls(session, name)
        namespace.exec("ip", "link", "set", "lo", "up")
        return namespace

    @property
    def path(self) -> Path:
        return _DIRECTORY / self.name

    def enter(self, argv: Sequence[str]) -> list[str]:
        """Return the argument vector that runs `argv` in this namespace.

        `ip netns exec` would also mount a new /sys, which hides the control groups.
        """
        return ["nsenter", f"--net={self.path}", *argv]

    def exec(
        self, *argv: str, check: bool = True, timeout: float = 120.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of this machine's programs in this namespace to its end; errors as in `process.run`."""
        return run(self.enter(argv), check=check, timeout=timeout, env=marked_environment(self.session), stdin=stdin)

    def popen(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start one of this machine's programs in this namespace, with pipes for its input and output."""
        return start(self.session, self.enter(argv), env)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread into this namespace for the block. Threads that it starts meanwhile stay there."""
        with entered(self.path):
            yield

    def remove(self) -> None:
        """Remove the name. The kernel frees the namespace when its last process has ended."""
        if self.path.exists():
            run(["ip", "netns", "del", self.name])


@contextmanager
def entered(path: Path) -> Iterator[None]:
    """Move the calling thread into the network namespace of a file for the block; see `Namespace.entered`."""
    with Path("/proc/thread-self/ns/net").open("rb") as home, path.open("rb") as there:
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(home.fileno())


def start(session: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a marked program with pipes for its standard input, output and error."""
    return subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=marked_environment(session, env),
    )


def _setns(descriptor: int) -> None:
    # os.setns needs Python 3.12
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
