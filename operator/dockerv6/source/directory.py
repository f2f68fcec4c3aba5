"""The resource files below a configured directory, and the directories to watch for changes.

Symbolic links are followed: git-sync (``current -> .worktrees/<hash>``) and Kubernetes config maps
(``x.yaml -> ..data/x.yaml``, ``..data -> ..2026_11_23_…``) depend on them. A file that two paths lead to is listed
once, under the path without links, or else under the first path in alphabetical order. A link to a directory that
contains the link is a loop and is ignored. A link may lead out of the root; then the owner and mode of every directory
above its target are checked like those of the root.
"""

# ruff: noqa: PTH116, PTH118, PTH119, PTH120
# There may be ten thousands of paths: pathlib takes ten times as long, and it hides which links are followed.

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from dockerv6.source.files import (
    FileOwnership,
    PermissionViolation,
    ResolvedPath,
    Signature,
    ancestors,
    is_inside,
    resolve_path,
)

MAX_FILES = 100_000
"""Resource files below one root."""

MAX_DIRECTORY_DEPTH = 32
"""Nested directories below one root."""

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class DirectoryListing:
    """The files below a root at one point in time.

    Attributes:
        files: resource files by path, in alphabetical order.
        problems: why the listing is incomplete; empty when it is complete.
        identity: device:inode of the root after symbolic links; empty when it does not exist.
        directories: directories in which a change can change the listing: those that were read, and those of links.
        refused: files that may not be read, and why.
    """

    files: dict[str, Signature] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    identity: str = ""
    directories: frozenset[str] = frozenset()
    refused: dict[str, PermissionViolation] = field(default_factory=dict)


def is_resource_file(name: str) -> bool:
    """Whether a file of that name is read.

    Editors write temporary files beside the file before they rename: vim ``.x.yaml.swp``, ``4913``, ``x.yaml~``; emacs
    ``.#x.yaml``, ``#x.yaml#``; GNOME ``.goutputstream-…``; JetBrains ``x.yaml___jb_tmp___``; sed ``sedAbC123``; rsync
    ``.x.yaml.AbC123``. None of these names passes.
    """
    return name[:1] not in {".", "#", "~"} and name.lower().endswith(SUFFIXES)


def list_root(path: str, ownership: FileOwnership | None) -> DirectoryListing:
    """List a root, which may be a directory or a single file.

    Args:
        path: of the root, absolute or relative to the working directory.
        ownership: the users whose files are accepted; None accepts all files.
    """
    try:
        return _Lister(path, ownership).list()
    except FileNotFoundError:
        return DirectoryListing(problems=(f"{path} does not exist; create it with mkdir -p {path}",))
    except OSError as error:
        return DirectoryListing(problems=(f"can't read {path}: {error.strerror}",))


class _Lister:
    def __init__(self, path: str, ownership: FileOwnership | None) -> None:
        self._path = path
        self._ownership = ownership
        self._root = ""
        self._files: dict[str, Signature] = {}
        self._problems: list[str] = []
        self._refused: dict[str, PermissionViolation] = {}
        self._watched: set[str] = set()
        self._visited: set[tuple[int, int]] = set()
        self._inodes: set[tuple[int, int]] = set()
        self._checked: dict[str, PermissionViolation | None] = {}
        self._links: list[str] = []

    def list(self) -> DirectoryListing:
        resolved = resolve_path(self._path)
        self._root = resolved.target
        status = os.stat(resolved.target)
        self._watched |= resolved.directories
        identity = f"{status.st_dev}:{status.st_ino}"
        if stat.S_ISREG(status.st_mode):
            self._watched.add(os.path.dirname(resolved.target))
            self._files[self._path] = Signature.of(status)
            violation = next(filter(None, map(self._violation, (*resolved.links, resolved.target))), None)
            if violation is not None:
                self._refused[self._path] = violation
            return DirectoryListing(self._files, (), identity, frozenset(self._watched), self._refused)
        if not stat.S_ISDIR(status.st_mode):
            return DirectoryListing(problems=(f"{self._path} is neither a directory nor a regular file",))
        violation = next(filter(None, map(self._violation, resolved.links)), None)
        if violation is not None:
            return DirectoryListing(problems=(str(violation),), identity=identity, directories=frozenset(self._watched))
        self._directory(self._path, resolved.target, 0)
        while self._links:
            links, self._links = sorted(self._links), []
            for link in links:
                self._link(link)
        files = dict(sorted(self._files.items()))
        return DirectoryListing(files, tuple(self._problems), identity, frozenset(self._watched), self._refused)

    def _directory(self, path: str, target: str, depth: int) -> None:
        """Add the files of a directory. Its links are followed later, so that paths without links come first."""
        if depth > MAX_DIRECTORY_DEPTH:
            self._problems.append(f"{path} is more than {MAX_DIRECTORY_DEPTH} directories deep; reduce the nesting")
            return
        violation = self._violation(target)
        if violation is not None:
            self._problems.append(str(violation))
            return
        status = os.stat(target)
        if (status.st_dev, status.st_ino) in self._visited:
            return
        self._visited.add((status.st_dev, status.st_ino))
        try:
            entries = sorted(os.scandir(target), key=lambda entry: entry.name)
        except OSError as error:
            self._problems.append(f"can't read {path}: {error.strerror}")
            return
        self._watched.add(target)
        for entry in entries:
            self._entry(entry, path, depth)

    def _entry(self, entry: os.DirEntry[str], parent: str, depth: int) -> None:
        name = entry.name
        if name.startswith("."):
            return
        path = os.path.join(parent, name)
        try:
            if entry.is_symlink():
                self._links.append(path)
            elif entry.is_dir(follow_symlinks=False):
                self._directory(path, entry.path, depth + 1)
            elif is_resource_file(name) and entry.is_file(follow_symlinks=False):
                self._file(path, entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            return  # deleted since the directory was read; the second listing notices
        except OSError as error:
            self._problems.append(f"can't read {path}: {error.strerror}")

    def _file(self, path: str, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        if identity in self._inodes:
            return
        self._inodes.add(identity)
        if len(self._files) >= MAX_FILES:
            message = f"{self._path} has more than {MAX_FILES} resource files"
            if message not in self._problems:
                self._problems.append(message)
            return
        self._files[path] = Signature.of(status)
        if self._ownership is not None and (violation := self._ownership.violation(path, status)) is not None:
            self._refused[path] = violation

    def _link(self, link: str) -> None:
        is_resource = is_resource_file(os.path.basename(link))
        try:
            self._follow(link, is_resource=is_resource)
        except OSError as error:
            if is_resource:
                message = f"is a broken link: {error.strerror}"
                self._refused[link] = PermissionViolation(link, message, "correct the link or remove it")

    def _follow(self, link: str, *, is_resource: bool) -> None:
        """Add the target of a link.

        Raises:
            OSError: the target does not exist or can't be read.
        """
        resolved = resolve_path(link)
        self._watched |= resolved.directories
        status = os.stat(resolved.target)
        is_directory = stat.S_ISDIR(status.st_mode)
        if is_directory and is_inside(os.path.realpath(os.path.dirname(link)), resolved.target):
            return
        if not is_directory and not (is_resource and stat.S_ISREG(status.st_mode)):
            return
        violation = next(filter(None, map(self._violation, self._parts_to_check(resolved))), None)
        if violation is None and is_directory:
            self._directory(link, resolved.target, link.count("/") - self._path.count("/"))
        elif violation is None:
            self._watched.add(os.path.dirname(resolved.target))
            self._file(link, status)
        elif is_directory:
            self._problems.append(f"{link} is not followed: {violation}")
        else:
            message = f"is not read: {violation.path} {violation.message}"
            self._refused[link] = PermissionViolation(link, message, violation.remedy)

    def _parts_to_check(self, resolved: ResolvedPath) -> Iterator[str]:
        """The links, the target, and the directories above it up to the root, or up to ``/`` when it is outside."""
        yield from resolved.links
        yield resolved.target
        yield from ancestors(resolved.target, self._root if is_inside(resolved.target, self._root) else "/")

    def _violation(self, path: str) -> PermissionViolation | None:
        """Check owner and mode of a path whose directories have no links. Each path is checked once."""
        if self._ownership is None:
            return None
        if path not in self._checked:
            self._checked[path] = self._ownership.violation(path, os.lstat(path))
        return self._checked[path]
