"""One file's bytes, as they were at one moment."""

import os
import stat

from dockerv6.source.directory import Signature
from dockerv6.source.limits import MAX_BYTES

_CHUNK = 256 * 1024


class FileChangedError(Exception):
    """The file is not, or not any more, the one that was listed."""


def read_file(path: str, listed: Signature) -> bytes:
    """The content of the file that was listed under a path: at most one byte more than is allowed.

    Its owner and mode were judged when it was listed. An equal signature means that they are the same still: every
    change of them moves the time of the last status change.

    Raises:
        FileChangedError: another file is there now, or it changed while it was read.
        OSError: it can't be opened or read.
    """
    # A named pipe that takes the file's place must not block us until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode) or Signature.of(before) != listed:
            raise FileChangedError(path)
        content = read_bounded(descriptor)
        if Signature.of(os.fstat(descriptor)) != listed:
            raise FileChangedError(path)
        return content
    finally:
        os.close(descriptor)


def read_bounded(descriptor: int) -> bytes:
    """Read to the end, or to one byte beyond what a file may hold."""
    parts: list[bytes] = []
    left = MAX_BYTES + 1
    while left > 0 and (part := os.read(descriptor, min(_CHUNK, left))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
