"""One file or directory: its owner and mode, the symbolic links on its path, and its content."""

# ruff: noqa: PTH100, PTH109, PTH112, PTH115, PTH118, PTH120
# There may be ten thousands of paths: pathlib takes ten times as long, and it hides which links are followed.

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dockerv6.lib.text import printable_path, shell_quoted

MAX_BYTES = 4 * 1024 * 1024
"""Size limit of a file. Ten thousand resources of ordinary size fit."""

_MAX_LINKS = 40
"""The kernel's own limit, path_resolution(7)."""

_CHUNK = 256 * 1024
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0


@dataclass(frozen=True, slots=True)
class Signature:
    """Identity, size and times of a file. Equal signatures mean an unchanged file."""

    device: int
    inode: int
    size: int
    modified: int  # ns
    changed: int  # ns; changes with owner and mode too

    @classmethod
    def of(cls, status: os.stat_result) -> "Signature":
        """From the result of a stat."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class PermissionViolation:
    """The reason why a file or directory is refused, and the remedy."""

    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{printable_path(self.path)} {self.message}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class FileOwnership:
    """The users whose files are accepted. As for sudoers, the files must not be writable by other users."""

    uids: frozenset[int]

    @classmethod
    def of_this_process(cls, others: Iterable[int] = ()) -> "FileOwnership":
        """Root, the effective user of this process, and the others."""
        return cls(frozenset({_ROOT, os.geteuid(), *others}))

    @classmethod
    def of_root(cls, others: Iterable[int] = ()) -> "FileOwnership":
        """Root and the others: what a daemon that root runs accepts, independent of the user who asks."""
        return cls(frozenset({_ROOT, *others}))

    def violation(self, path: str, status: os.stat_result) -> PermissionViolation | None:
        """Check owner and mode of a file, a directory or a link.

        The mode of a link has no meaning. A sticky directory of root, such as ``/tmp``, may be writable by others: a
        file of another user in it is refused because of its owner, and other users can't replace the files of root and
        of trusted users in it.
        """
        if status.st_uid not in self.uids:
            return PermissionViolation(
                path,
                f"is owned by user {status.st_uid}, who is not trusted",
                f"run chown -h root {shell_quoted(path)}, or trust the user with --trust-uid {status.st_uid}",
            )
        if stat.S_ISLNK(status.st_mode) or not status.st_mode & _WRITABLE_BY_OTHERS:
            return None
        if stat.S_ISDIR(status.st_mode) and status.st_uid == _ROOT and status.st_mode & stat.S_ISVTX:
            return None
        return PermissionViolation(path, "is writable by other users", f"run chmod go-w {shell_quoted(path)}")


@dataclass(frozen=True, slots=True)
class ResolvedPath:
    """A path with its symbolic links resolved.

    Attributes:
        target: the path without links.
        links: every link that was followed.
        directories: the directories of these links. A change in one of them can change the target.
    """

    target: str
    links: tuple[str, ...]
    directories: frozenset[str]

    def parts(self) -> Iterator[str]:
        """The target, the links, and every directory above: write access to one of them can change the content."""
        for path in (*self.links, self.target):
            yield path
            yield from ancestors(path)


def resolve_path(path: str) -> ResolvedPath:
    """Follow the links of a path one by one.

    Raises:
        OSError: the target does not exist (ENOENT), the links form a loop (ELOOP), or access is denied.
    """
    links: list[str] = []
    # Not abspath: it takes "link/.." for the directory of the link, unlike the kernel.
    pending = _components(os.path.join(os.getcwd(), path))
    current = "/"
    while pending:
        name = pending.pop()
        if name == "..":
            current = os.path.dirname(current)
            continue
        candidate = os.path.join(current, name)
        try:
            content = os.readlink(candidate)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: not a link
                raise
            current = candidate
            continue
        links.append(candidate)
        if len(links) > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if content.startswith("/"):
            current = "/"
        pending.extend(_components(content))
    return ResolvedPath(current, tuple(links), frozenset(map(os.path.dirname, links)))


def ancestors(path: str) -> Iterator[str]:
    """The parent directories of a path without links, the nearest first, up to and including ``/``."""
    while path != "/":
        path = os.path.dirname(path)
        yield path


def is_inside(path: str, directory: str) -> bool:
    """Whether a path without links is the directory or is below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def nearest_existing(path: str) -> str:
    """The deepest existing directory on a path."""
    path = os.path.abspath(path)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


class FileChangedError(Exception):
    """The file is not the one that was listed, or it changed while it was read."""


def read_file(path: str, listed: Signature) -> bytes:
    """The content of a listed file, cut off one byte after `MAX_BYTES`.

    Owner and mode were checked when the file was listed. An equal signature means that they have not changed: chown and
    chmod change the time of the last status change.

    Raises:
        FileChangedError: another file is there now, or it changed while it was read.
        OSError: it can't be opened or read.
    """
    # O_NONBLOCK: opening a named pipe in the file's place would wait for a writer.
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
    """Read to the end of the file, at most one byte more than `MAX_BYTES`."""
    parts: list[bytes] = []
    left = MAX_BYTES + 1
    while left > 0 and (part := os.read(descriptor, min(_CHUNK, left))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def reading_error(error: OSError) -> str:
    """Why a path can't be read. Root may read everything, unless it lacks a capability (capabilities(7))."""
    if error.errno == errno.EACCES and os.geteuid() == _ROOT:
        return f"{error.strerror}; CAP_DAC_READ_SEARCH is missing (docker run --cap-add DAC_READ_SEARCH)"
    return str(error.strerror)


def _components(path: str) -> list[str]:
    """The components of a path, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]
