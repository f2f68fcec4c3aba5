"""A network namespace for the calling thread of a test, without a name."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000


@contextmanager
def private_network() -> Iterator[None]:
    """Move this thread, and the programs and threads that it starts, to a new namespace for the block.

    The kernel removes the namespace with the last of its processes and sockets.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(_CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "can't make a network namespace (these tests need root)")
        try:
            yield
        finally:
            if libc.setns(home, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "can't return to the first network namespace")
    finally:
        os.close(home)


def ip(*arguments: str, batch: str | None = None) -> str:
    """Run `ip -6`; return its output."""
    done = subprocess.run(
        ["ip", "-6", *arguments, *(["-batch", "-"] if batch is not None else [])],
        input=batch,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def nft(script: str, *, refused: bool = False) -> None:
    """Commit one nftables transaction, or check that it fails (`refused`)."""
    done = subprocess.run(["nft", "-f", "-"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) is refused, done.stderr


def set_sysctl(path: str, value: str) -> None:
    """Write a sysctl, such as net/ipv6/conf/all/forwarding."""
    Path("/proc/sys", path).write_text(value)
