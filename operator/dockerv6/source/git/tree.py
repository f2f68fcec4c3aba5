"""Exports the resource files of one commit from a clone into a new directory.

git does not check anything out: its objects are listed and written here, so no filter, LFS or submodule takes part. A
tree object may have any name (``git hash-object --literally`` writes it), and git's listing joins names with ``/``. A
path with an empty part, ``.`` or ``..`` refuses the commit, and each part is opened relative to its directory.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dockerv6.lib.tasks import CancellationToken
from dockerv6.lib.text import printable_path
from dockerv6.source.directory import MAX_DIRECTORY_DEPTH, is_resource_file
from dockerv6.source.files import MAX_BYTES
from dockerv6.source.git.program import LOCAL_LIMIT, GitCommandError, GitError, GitProgram

MAX_FILES = 20_000
"""Resource files of one source."""

MAX_TREE_BYTES = 256 * 1024 * 1024
"""Bytes of the resource files of one source."""

_CHUNK = 256 * 1024
_MAX_HEADER = 4096 + 128
_LINK, _SUBMODULE = "120000", "160000"
_CHOOSE = "choose a smaller directory with --git URL#REF:PATH"
_LEADS_OUT = frozenset({"", ".", ".."})
_MAX_NAME, _MAX_PATH = 255, 3000
"""Bytes of a name (NAME_MAX), and of a path, to which the directory of the source is added (PATH_MAX: 4096)."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class CommitError(GitError):
    """A commit is complete, but can't be used: a new clone does not help."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file of a commit."""

    path: str  # relative to the exported directory
    blob: str  # what `git cat-file` is asked for
    size: int
    is_link: bool


@dataclass(frozen=True, slots=True)
class ExportedTree:
    """What was written."""

    files: int
    skipped: tuple[str, ...]  # files that are not read, and why


def export_tree(
    git: GitProgram, clone: Path, commit: str, path: str, target: Path, token: CancellationToken
) -> ExportedTree:
    """Write the resource files of a commit.

    Args:
        git: the program.
        clone: a bare repository.
        commit: its full id.
        path: a directory or file in the commit; "": all of it.
        target: a directory that does not exist.
        token: ends it early.

    Raises:
        CommitError: the commit does not have the path, or no resource file in it, or too much.
        GitCommandError: the clone is damaged.
        OSError: the files can't be written.
        OperationCancelled: the token was cancelled.
    """
    name = commit[:12]
    entries, skipped = [], []
    for entry, problem in _entries(git, clone, commit, path, token):
        if problem:
            skipped.append(f"{printable_path(entry.path)} {problem}")
        elif is_resource_file(entry.path.rpartition("/")[2]):
            entries.append(entry)
    where = f"{path or 'the repository'} in commit {name}"
    if len(entries) > MAX_FILES:
        raise CommitError(f"{where} has {len(entries)} resource files, more than {MAX_FILES}", _CHOOSE)
    if sum(min(entry.size, MAX_BYTES) for entry in entries) > MAX_TREE_BYTES:
        raise CommitError(f"the resource files of {where} have more than {MAX_TREE_BYTES // 1024**2} MiB", _CHOOSE)
    committed = git.run("show", "-s", "--format=%ct", commit, clone=clone, token=token).strip()
    if not committed.isdigit():
        raise CommitError(f"commit {name} has no valid date", "check it with `git fsck`, and commit again")
    target.mkdir(mode=0o700)
    modified = min(int(committed), int(target.stat().st_mtime) - 2)  # a commit may be from the future
    with git.batch(clone) as process, closing(_TreeWriter(process, target, modified)) as writer:
        alarm = threading.Timer(LOCAL_LIMIT, process.kill)
        alarm.start()
        try:
            problems = _write(writer, entries, commit, token)
        finally:
            alarm.cancel()
    skipped += problems
    written = len(entries) - len(problems)
    if not written:
        raise CommitError(
            f"{where} has no resource file any more, or never had one, which may be an accident",
            "commit one; to delete all resources, commit a file with an empty List (`apiVersion: v1`, `kind: List`,"
            " `items: []`), or remove --git",
        )
    _flush(target, token)
    return ExportedTree(written, tuple(skipped))


def _entries(
    git: GitProgram, clone: Path, commit: str, path: str, token: CancellationToken
) -> Iterator[tuple[TreeEntry, str]]:
    """The files below a path of a commit, each with the reason why it is not read; "": it is."""
    treeish, above = commit, ""
    if path:
        found = _listed(git.run("ls-tree", "-z", "-l", "--full-tree", commit, "--", path, clone=clone, token=token))
        mode, kind, blob, size, full = next(found, ("", "", "", 0, ""))
        if kind == "blob" and mode != _LINK:
            yield TreeEntry(full.rpartition("/")[2], blob, size, is_link=False), ""
            return
        if kind != "tree":
            there = "is a link or a submodule" if kind else "does not exist"
            raise CommitError(
                f"{path} {there} in commit {commit[:12]}", "correct the path in --git URL#REF:PATH, or --git-path"
            )
        treeish, above = blob, f"{path}/"
    for mode, _, blob, size, name in _listed(
        git.run("ls-tree", "-r", "-z", "-l", "--full-tree", treeish, clone=clone, token=token)
    ):
        parts = name.split("/")
        if not _LEADS_OUT.isdisjoint(parts):
            raise CommitError(
                f"commit {commit[:12]} has an entry whose name can lead out of its directory: {printable_path(name)}",
                "find out who pushed it: no git client makes such a name",
            )
        if mode != _SUBMODULE and any(part.startswith(".") for part in parts):  # as in directories
            continue
        link = mode == _LINK
        yield TreeEntry(name, f"{commit}:{above}{name}" if link else blob, size, is_link=link), _unread(mode, parts)


def _unread(mode: str, parts: list[str]) -> str:
    """Why a file of a commit is not read; "": it is."""
    if mode == _SUBMODULE:
        return "is a submodule, which is not fetched"
    if len(parts) > MAX_DIRECTORY_DEPTH:
        return f"is more than {MAX_DIRECTORY_DEPTH} directories deep"
    sizes = [len(os.fsencode(part)) for part in parts]
    if max(sizes) > _MAX_NAME or sum(sizes) + len(sizes) > _MAX_PATH:
        return f"has a name of more than {_MAX_NAME} bytes, or a path of more than {_MAX_PATH}"
    return "has a line break in its name" if mode == _LINK and any("\n" in part for part in parts) else ""


def _listed(output: bytes) -> Iterator[tuple[str, str, str, int, str]]:
    """Mode, type, id, size and path of each line of ``git ls-tree -z -l``."""
    for line in output.split(b"\0"):
        if line:
            facts, _, name = line.partition(b"\t")
            mode, kind, blob, size = facts.decode().split()
            yield mode, kind, blob, int(size) if size.isdecimal() else 0, os.fsdecode(name)


def _write(writer: "_TreeWriter", entries: list[TreeEntry], commit: str, token: CancellationToken) -> list[str]:
    """Write the files; returns those that were skipped, and why. Raises as `export_tree`."""
    skipped, name = [], commit[:12]
    for entry in entries:
        token.check()
        try:
            problem = writer.write(entry)
        except (FileExistsError, NotADirectoryError) as error:
            raise CommitError(
                f"commit {name} has two entries of one name: {printable_path(entry.path)}",
                "check it with `git fsck`, and commit again",
            ) from error
        except (BrokenPipeError, ValueError) as error:
            raise GitCommandError(f"commit {name} can't be read from the clone", "it is fetched again") from error
        skipped += [f"{printable_path(entry.path)} {problem}"] if problem else []
        if writer.bytes > MAX_TREE_BYTES:  # the sizes of what links lead to are known only now
            raise CommitError(
                f"the resource files of commit {name} have more than {MAX_TREE_BYTES // 1024**2} MiB", _CHOOSE
            )
    return skipped


class _TreeWriter:
    """Writes files below a new directory. A path is opened part by part, so that none leads out or through a link."""

    def __init__(self, process: subprocess.Popen[bytes], target: Path, modified: int) -> None:
        self._process = process
        self._modified = modified
        self._root = os.open(target, _DIRECTORY)
        self._parent, self._descriptor = "", os.dup(self._root)
        self.bytes = 0

    def close(self) -> None:
        os.close(self._descriptor)
        os.close(self._root)

    def write(self, entry: TreeEntry) -> str:
        """Write one file; returns why it is skipped, "": it is not.

        Raises:
            FileExistsError, NotADirectoryError: another entry has its name, or that of its directory.
            ValueError, BrokenPipeError: git does not have it, although the commit does.
        """
        size = 0 if entry.size > MAX_BYTES else self._asked(entry)
        if size < 0:
            return "is a link to a directory, or one that leads nowhere or out of the repository, and is not followed"
        parent, _, name = entry.path.rpartition("/")
        if parent != self._parent:
            self._enter(parent)
        descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=self._descriptor)
        try:
            if entry.size > MAX_BYTES:  # not even read: the reader of the file reports that it is too large
                os.ftruncate(descriptor, MAX_BYTES + 1)
            else:
                kept = min(size, MAX_BYTES + 1)
                _copy(self._output, descriptor, kept)
                _copy(self._output, None, size - kept + 1)
                self.bytes += kept
            os.utime(descriptor, (self._modified, self._modified))  # it is complete, whenever it was written
        finally:
            os.close(descriptor)
        return ""

    def _asked(self, entry: TreeEntry) -> int:
        """The size of the content that git writes next; -1: it is no file, and its content was skipped."""
        if self._process.stdin is None:
            raise ValueError("no pipe")
        self._process.stdin.write(os.fsencode(f"{entry.blob}\n"))
        self._process.stdin.flush()
        about, _, length = self._output.readline(_MAX_HEADER).rstrip(b"\n").rpartition(b" ")
        kind = about.rpartition(b" ")[2]
        if not length.isdigit() or (kind != b"blob" and not entry.is_link):  # "ID missing"
            raise ValueError(entry.path)
        if kind == b"blob":
            return int(length)
        _copy(
            self._output, None, int(length) + 1
        )  # symlink, dangling, loop, notdir, tree: the content follows all the same
        return -1

    def _enter(self, parent: str) -> None:
        os.close(self._descriptor)
        self._parent, self._descriptor = "", os.dup(self._root)
        for part in parent.split("/") if parent else ():
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=self._descriptor)
            inner = os.open(part, _DIRECTORY, dir_fd=self._descriptor)
            os.close(self._descriptor)
            self._descriptor = inner
        self._parent = parent

    @property
    def _output(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise ValueError("no pipe")
        return self._process.stdout


def _flush(directory: Path, token: CancellationToken) -> None:
    """Wait until a tree is on the disk, so that no power failure leaves an empty file in the tree in effect."""
    for parent, _, files in os.walk(directory, topdown=False):
        for path in (*(os.path.join(parent, file) for file in files), parent):  # noqa: PTH118 - 20,000 files
            token.check()
            flush(path)


def flush(path: str | Path) -> None:
    """Wait until a file, or the entries of a directory, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(source: IO[bytes], descriptor: int | None, size: int) -> None:
    """Copy from git's output, or skip.

    Raises:
        ValueError: it ended early.
    """
    while size:
        part = source.read(min(size, _CHUNK))
        if not part:
            raise ValueError("git ended early")
        size -= len(part)
        while descriptor is not None and part:
            part = part[os.write(descriptor, part) :]
