"""Exports the resource files of one commit from a clone into a new directory.

git does not check anything out: its objects are listed and written here. So no filter, LFS or submodule takes part, and
no name in a repository can lead out of the directory.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
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
    choose = "choose a smaller directory with --git URL#REF:PATH"
    if len(entries) > MAX_FILES:
        raise CommitError(f"{where} has {len(entries)} resource files, more than {MAX_FILES}", choose)
    if sum(min(entry.size, MAX_BYTES) for entry in entries) > MAX_TREE_BYTES:
        raise CommitError(f"the resource files of {where} have more than {MAX_TREE_BYTES // 1024**2} MiB", choose)
    committed = int(git.run("show", "-s", "--format=%ct", commit, clone=clone, token=token))
    target.mkdir(mode=0o700)
    modified = min(committed, int(target.stat().st_mtime) - 2)  # a commit may be from the future
    written = 0
    with git.batch(clone) as process:
        alarm = threading.Timer(LOCAL_LIMIT, process.kill)
        alarm.start()
        try:
            made = {""}
            for entry in entries:
                token.check()
                problem = _write(process, entry, target, made, modified)
                written += not problem
                skipped += [f"{printable_path(entry.path)} {problem}"] if problem else []
        except (BrokenPipeError, ValueError) as error:
            raise GitCommandError(f"commit {name} can't be read from the clone", "it is fetched again") from error
        finally:
            alarm.cancel()
    if not written:
        raise CommitError(
            f"{where} has no resource file any more, or never had one, which may be an accident",
            "commit one; to delete all resources, commit a file with an empty List (`apiVersion: v1`, `kind: List`,"
            " `items: []`), or remove --git",
        )
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
        if mode == _SUBMODULE:
            yield TreeEntry(name, blob, 0, is_link=False), "is a submodule, which is not fetched"
        elif any(part.startswith(".") for part in parts):  # as in directories; also . and ..
            continue
        elif len(parts) > MAX_DIRECTORY_DEPTH:
            yield TreeEntry(name, blob, 0, is_link=False), f"is more than {MAX_DIRECTORY_DEPTH} directories deep"
        elif mode == _LINK:
            problem = "has a line break in its name" if "\n" in name else ""
            yield TreeEntry(name, f"{commit}:{above}{name}", 0, is_link=True), problem
        else:
            yield TreeEntry(name, blob, size, is_link=False), ""


def _listed(output: bytes) -> Iterator[tuple[str, str, str, int, str]]:
    """Mode, type, id, size and path of each line of ``git ls-tree -z -l``."""
    for line in output.split(b"\0"):
        if line:
            facts, _, name = line.partition(b"\t")
            mode, kind, blob, size = facts.decode().split()
            yield mode, kind, blob, int(size) if size.isdecimal() else 0, os.fsdecode(name)


def _write(process: subprocess.Popen[bytes], entry: TreeEntry, target: Path, made: set[str], modified: int) -> str:
    """Write one file; returns why it is skipped, "": it is not.

    Raises:
        ValueError, BrokenPipeError: git does not have it, although the commit does.
    """
    asked, answered = process.stdin, process.stdout
    if asked is None or answered is None:
        raise ValueError("no pipes")
    asked.write(os.fsencode(f"{entry.blob}\n"))
    asked.flush()
    about, _, length = answered.readline(_MAX_HEADER).rstrip(b"\n").rpartition(b" ")
    kind = about.rpartition(b" ")[2]
    if not length.isdigit() or (kind != b"blob" and not entry.is_link):  # "ID missing"
        raise ValueError(entry.path)
    size = int(length)
    if kind != b"blob":  # symlink, dangling, loop, notdir, tree: the content follows all the same
        _copy(answered, None, size + 1)
        return "is a link to a directory, or one that leads nowhere or out of the repository, and is not followed"
    directory = entry.path.rpartition("/")[0]
    if directory not in made:
        (target / directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        made.add(directory)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(target / entry.path, flags, mode=0o600)
    try:
        kept = min(size, MAX_BYTES + 1)  # one byte too much: whoever reads it says that it is too large
        _copy(answered, descriptor, kept)
        _copy(answered, None, size - kept + 1)
        os.utime(descriptor, (modified, modified))  # it is complete, whenever it was written
    finally:
        os.close(descriptor)
    return ""


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
