"""The resource files below a configured directory, and the directories to watch for changes.

Symbolic links are followed: git-sync (``current -> .worktrees/<hash>``) and Kubernetes config maps
(``x.yaml -> ..data/x.yaml``, ``..data -> ..2026_11_23_…``) depend on them. A file that two paths lead to is listed
once, under the path with the fewest links, then the fewest directories, then the first one in alphabetical order. A
link to a directory that contains the link is a loop and is ignored. A link may lead out of the root.

A user who may write to a directory may replace everything in it, so owner and mode of every directory on the way from
``/`` to a root, to a link and to the target of a link are checked, as sudo and OpenSSH (``StrictModes``) do.
"""

# ruff: noqa: PTH110, PTH114, PTH116, PTH118, PTH119, PTH120
# There may be ten thousands of paths: pathlib takes ten times as long, and it hides which links are followed.

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import islice

from dockerv6.lib.tasks import CancellationToken
from dockerv6.lib.text import printable_path, shell_quoted
from dockerv6.source.files import (
    FileOwnership,
    PermissionViolation,
    Signature,
    is_inside,
    reading_error,
    resolve_path,
)

MAX_FILES = 100_000
"""Resource files below one root."""

MAX_ENTRIES = 250_000
"""Files and directories of any name below one root, links included. Listing them takes 2 to 4 s."""

MAX_DIRECTORY_DEPTH = 32
"""Nested directories below one root."""

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class DirectoryListing:
    """The files below a root at one point in time. Paths are those of the file system.

    Attributes:
        files: resource files by path, in alphabetical order.
        problems: why the listing is incomplete; empty when it is complete.
        identity: device:inode of the root after symbolic links; empty when it does not exist.
        subdirectories: device:inode of each directory below the root, by the path of its files; empty for a link that
            leads to no directory.
        watched: directories in which a change can change the listing: those that were read, and those of links.
        refused: files that may not be read, and why.
        broken_links: links that are no resource files themselves and lead nowhere, and why.
    """

    files: dict[str, Signature] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    identity: str = ""
    subdirectories: dict[str, str] = field(default_factory=dict)
    watched: frozenset[str] = frozenset()
    refused: dict[str, PermissionViolation] = field(default_factory=dict)
    broken_links: dict[str, str] = field(default_factory=dict)


def is_resource_file(name: str) -> bool:
    """Whether a file of that name is read.

    Editors write temporary files beside the file before they rename: vim ``.x.yaml.swp``, ``4913``, ``x.yaml~``; emacs
    ``.#x.yaml``, ``#x.yaml#``; GNOME ``.goutputstream-…``; JetBrains ``x.yaml___jb_tmp___``; sed ``sedAbC123``; rsync
    ``.x.yaml.AbC123``. None of these names passes.
    """
    return name[:1] not in {".", "#", "~"} and name.lower().endswith(SUFFIXES)


def list_root(path: str, ownership: FileOwnership | None, token: CancellationToken) -> DirectoryListing:
    """List a root, which may be a directory or a single file.

    Args:
        path: of the root, absolute or relative to the working directory.
        ownership: the users whose files are accepted; None accepts all files.
        token: ends the listing early.

    Raises:
        OperationCancelled: the token was cancelled.
    """
    try:
        return _Lister(path, ownership, token).list()
    except FileNotFoundError:
        link = _broken_link(path)
        if link is not None:  # mkdir can't create what a link leads to
            message = f"{printable_path(path)} does not exist: {printable_path(link)} is a broken link"
            return DirectoryListing(problems=(f"{message}; correct the link or remove it",))
        remedy = f"create it with mkdir -p {shell_quoted(path)}"
        return DirectoryListing(problems=(f"{printable_path(path)} does not exist; {remedy}",))
    except OSError as error:
        return DirectoryListing(problems=(f"can't read {printable_path(path)}: {reading_error(error)}",))


def _broken_link(path: str) -> str | None:
    """The link on a path that leads nowhere; None: there is none."""
    while (path := path.rstrip("/")) and not os.path.exists(path):
        if os.path.islink(path):
            return path
        path = os.path.dirname(path)
    return None


class _Lister:
    def __init__(self, path: str, ownership: FileOwnership | None, token: CancellationToken) -> None:
        self._path = path
        self._ownership = ownership
        self._token = token
        self._files: dict[str, Signature] = {}
        self._problems: dict[str, None] = {}
        self._refused: dict[str, PermissionViolation] = {}
        self._broken_links: dict[str, str] = {}
        self._watched: set[str] = set()
        self._subdirectories: dict[str, str] = {}
        self._visited: set[str] = set()
        self._inodes: set[tuple[int, int]] = set()
        self._checked: dict[str, PermissionViolation | None] = {}
        self._entries = 0
        self._pending: list[tuple[int, str, str]] = []
        self._links: list[str] = []

    def list(self) -> DirectoryListing:
        resolved = resolve_path(self._path)
        status = os.stat(resolved.target)
        self._watched |= resolved.directories
        identity = _identity(status)
        violation = self._first_violation(resolved.parts())
        if stat.S_ISREG(status.st_mode):
            self._watched.add(os.path.dirname(resolved.target))
            self._files[self._path] = Signature.of(status)
            if violation is not None:
                self._refuse(self._path, violation)
        elif not stat.S_ISDIR(status.st_mode):
            message = f"{printable_path(self._path)} is neither a directory nor a regular file; configure one of these"
            return DirectoryListing(problems=(message,))
        elif violation is not None:
            self._problem(f"{printable_path(self._path)} is not read: {violation}")
        else:
            self._pending = [(0, self._path, resolved.target)]
            self._walk()
            self._subdirectories.pop(self._path, None)
        return DirectoryListing(
            dict(sorted(self._files.items())),
            tuple(self._problems),
            identity,
            self._subdirectories,
            frozenset(self._watched),
            self._refused,
            self._broken_links,
        )

    def _walk(self) -> None:
        """List directories by their depth: a link to a huge tree must not hide what is beside the link."""
        while self._pending or self._links:
            if not self._pending:
                links, self._links = sorted(self._links), []
                for link in links:
                    self._link(link)
                continue
            depth, path, target = heappop(self._pending)
            try:
                self._directory(path, target, depth)
            except FileNotFoundError:
                continue  # deleted since its parent was read; the second listing notices
            except OSError as error:
                self._problem(f"can't read {printable_path(path)}: {reading_error(error)}")
            if self._entries > MAX_ENTRIES:
                self._problem(
                    f"{printable_path(self._path)} has more than {MAX_ENTRIES} files and directories below it, those"
                    " behind links included; move the resource files to a directory of their own"
                )
                return

    def _directory(self, path: str, target: str, depth: int) -> None:
        """Add the files of a directory, and remember its directories and links for later.

        Raises:
            OSError: it can't be read.
        """
        self._token.check()
        if depth > MAX_DIRECTORY_DEPTH:
            nested = f"{printable_path(path)} is more than {MAX_DIRECTORY_DEPTH} directories deep"
            self._problem(f"{nested}; reduce the nesting")
            return
        identity = _identity(os.stat(target))
        if identity in self._visited:
            return
        self._visited.add(identity)
        self._subdirectories[path] = identity
        violation = self._violation(target)
        if violation is not None:
            self._problem(str(violation))
            return
        with os.scandir(target) as scan:
            entries = sorted(islice(scan, MAX_ENTRIES + 1 - self._entries), key=lambda entry: entry.name)
        self._entries += len(entries)
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
                heappush(self._pending, (depth + 1, path, entry.path))
            elif is_resource_file(name) and entry.is_file(follow_symlinks=False):
                self._token.check()
                self._file(path, entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            return  # deleted since the directory was read; the second listing notices
        except OSError as error:
            self._problem(f"can't read {printable_path(path)}: {reading_error(error)}")

    def _file(self, path: str, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        if identity in self._inodes:
            return
        self._inodes.add(identity)
        if len(self._files) >= MAX_FILES:
            self._problem(f"{printable_path(self._path)} has more than {MAX_FILES} resource files")
            return
        self._files[path] = Signature.of(status)
        if self._ownership is not None and (violation := self._ownership.violation(path, status)) is not None:
            self._refused[path] = violation

    def _link(self, link: str) -> None:
        self._token.check()
        is_resource = is_resource_file(os.path.basename(link))
        try:
            self._follow(link, is_resource=is_resource)
        except OSError as error:
            message = f"is a broken link: {reading_error(error)}"
            if is_resource:
                self._refused[link] = PermissionViolation(link, message, "correct the link or remove it")
            else:
                self._broken_links[link] = message
                self._subdirectories[link] = ""

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
            self._subdirectories[link] = ""
            return
        violation = self._first_violation(resolved.parts())
        if violation is None and is_directory:
            heappush(self._pending, (link.count("/") - self._path.count("/"), link, resolved.target))
        elif violation is None:
            self._watched.add(os.path.dirname(resolved.target))
            self._file(link, status)
        elif is_directory:
            self._problem(f"{printable_path(link)} is not followed: {violation}")
        else:
            self._refuse(link, violation)

    def _refuse(self, path: str, violation: PermissionViolation) -> None:
        """Refuse a file because of its own owner or mode, or of those of something above it."""
        message = f"is not read: {printable_path(violation.path)} {violation.message}"
        self._refused[path] = PermissionViolation(path, message, violation.remedy)

    def _problem(self, message: str) -> None:
        self._problems[message] = None

    def _first_violation(self, paths: Iterable[str]) -> PermissionViolation | None:
        return next(filter(None, map(self._violation, paths)), None)

    def _violation(self, path: str) -> PermissionViolation | None:
        """Check owner and mode of a path whose directories have no links. Each path is checked once."""
        if self._ownership is None:
            return None
        if path not in self._checked:
            self._checked[path] = self._ownership.violation(path, os.lstat(path))
        return self._checked[path]


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"
