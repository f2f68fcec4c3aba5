"""What lies under a root: the resource files, the directories to watch, and whether the listing is complete.

Symbolic links are followed, because git-sync (``current -> .worktrees/<hash>``) and Kubernetes config maps
(``x.yaml -> ..data/x.yaml``, ``..data -> ..2026_11_23_…``) are made of them. Nothing is listed twice: what two paths
lead to appears under the one without links, or else under the first in alphabetical order. A link to a directory that
the link itself lies in is a loop and is left out. A link may lead out of the root, but then every directory above its
target has to be as trustworthy as the root.
"""

# ruff: noqa: PTH116, PTH118, PTH119, PTH120
# Paths come by the ten thousand here: pathlib takes ten times as long, and it hides which links are followed when.

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from dockerv6.source.limits import MAX_DIRECTORY_DEPTH, MAX_FILES
from dockerv6.source.links import Route, ancestors, is_inside, route
from dockerv6.source.permissions import FileOwnership, PermissionViolation

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Signature:
    """What tells one state of a file from another without reading it."""

    device: int
    inode: int
    size: int
    modified: int  # ns
    changed: int  # ns; moves with owner and mode too

    @classmethod
    def of(cls, status: os.stat_result) -> "Signature":
        """Out of a stat."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Listing:
    """One look at a root.

    Attributes:
        files: resource files by the path under which they were found, in alphabetical order.
        problems: why the listing is not complete; empty when it is.
        identity: device:inode of what the root's path led to; empty when it led nowhere.
        directories: where changes would show: those that were read, and those that hold links on the way.
        refused: files that are there but may not be read, and why.
    """

    files: dict[str, Signature] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    identity: str = ""
    directories: frozenset[str] = frozenset()
    refused: dict[str, PermissionViolation] = field(default_factory=dict)


def is_resource_file(name: str) -> bool:
    """Whether a file of that name counts.

    Editors write beside the file before they rename: vim ``.x.yaml.swp``, ``4913``, ``x.yaml~``; emacs ``.#x.yaml``,
    ``#x.yaml#``; GNOME ``.goutputstream-…``; JetBrains ``x.yaml___jb_tmp___``; sed ``sedAbC123``; rsync
    ``.x.yaml.AbC123``. None of them both begins like a name and ends like a resource file.
    """
    return name[:1] not in {".", "#", "~"} and name.lower().endswith(SUFFIXES)


def list_root(path: str, trust: FileOwnership | None) -> Listing:
    """Look at everything under a root, which may be a directory or a single file.

    Args:
        path: of the root; relative to the working directory if it is not absolute.
        trust: whose files are obeyed; None obeys everybody's.
    """
    try:
        return _Lister(path, trust).list()
    except FileNotFoundError:
        return Listing(problems=(f"{path} does not exist; make it with mkdir -p {path}",))
    except OSError as error:
        return Listing(problems=(f"{path} can't be read: {error.strerror}",))


class _Lister:
    def __init__(self, path: str, trust: FileOwnership | None) -> None:
        self._path = path
        self._trust = trust
        self._root = ""
        self._files: dict[str, Signature] = {}
        self._problems: list[str] = []
        self._refused: dict[str, PermissionViolation] = {}
        self._watch: set[str] = set()
        self._visited: set[tuple[int, int]] = set()
        self._inodes: set[tuple[int, int]] = set()
        self._judged: dict[str, PermissionViolation | None] = {}
        self._links: list[str] = []

    def list(self) -> Listing:
        way = route(self._path)
        self._root = way.target
        status = os.stat(way.target)
        self._watch |= way.directories
        identity = f"{status.st_dev}:{status.st_ino}"
        if stat.S_ISREG(status.st_mode):
            self._watch.add(os.path.dirname(way.target))
            self._files[self._path] = Signature.of(status)
            objection = next(filter(None, map(self._judge, (*way.links, way.target))), None)
            if objection is not None:
                self._refused[self._path] = objection
            return Listing(self._files, (), identity, frozenset(self._watch), self._refused)
        if not stat.S_ISDIR(status.st_mode):
            return Listing(problems=(f"{self._path} is neither a directory nor a regular file",))
        objection = next(filter(None, map(self._judge, way.links)), None)
        if objection is not None:
            return Listing(problems=(str(objection),), identity=identity, directories=frozenset(self._watch))
        self._directory(self._path, way.target, 0)
        while self._links:
            links, self._links = sorted(self._links), []
            for link in links:
                self._follow(link)
        files = dict(sorted(self._files.items()))
        return Listing(files, tuple(self._problems), identity, frozenset(self._watch), self._refused)

    def _directory(self, shown: str, real: str, depth: int) -> None:
        """Take in a directory; links in it are put off, so that real paths come first."""
        if depth > MAX_DIRECTORY_DEPTH:
            self._problems.append(f"{shown} lies more than {MAX_DIRECTORY_DEPTH} directories deep; make it flatter")
            return
        objection = self._judge(real)
        if objection is not None:
            self._problems.append(str(objection))
            return
        status = os.stat(real)
        if (status.st_dev, status.st_ino) in self._visited:
            return
        self._visited.add((status.st_dev, status.st_ino))
        try:
            entries = sorted(os.scandir(real), key=lambda entry: entry.name)
        except OSError as error:
            self._problems.append(f"{shown} can't be read: {error.strerror}")
            return
        self._watch.add(real)
        for entry in entries:
            self._entry(entry, shown, depth)

    def _entry(self, entry: os.DirEntry[str], shown: str, depth: int) -> None:
        name = entry.name
        if name.startswith("."):
            return
        path = os.path.join(shown, name)
        try:
            if entry.is_symlink():
                self._links.append(path)
            elif entry.is_dir(follow_symlinks=False):
                self._directory(path, entry.path, depth + 1)
            elif is_resource_file(name) and entry.is_file(follow_symlinks=False):
                self._file(path, entry.stat(follow_symlinks=False))
        except FileNotFoundError:
            return  # gone since the directory was read; the second look will tell
        except OSError as error:
            self._problems.append(f"{path} can't be read: {error.strerror}")

    def _file(self, path: str, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        if identity in self._inodes:
            return
        self._inodes.add(identity)
        if len(self._files) >= MAX_FILES:
            message = f"{self._path} holds more than {MAX_FILES} resource files"
            if message not in self._problems:
                self._problems.append(message)
            return
        self._files[path] = Signature.of(status)
        if self._trust is not None and (objection := self._trust.objection(path, status)) is not None:
            self._refused[path] = objection

    def _follow(self, link: str) -> None:
        try:
            self._take_in(link, counts=is_resource_file(os.path.basename(link)))
        except OSError as error:
            if is_resource_file(os.path.basename(link)):
                message = f"leads nowhere: {error.strerror}"
                self._refused[link] = PermissionViolation(link, message, "mend the link or remove it")

    def _take_in(self, link: str, *, counts: bool) -> None:
        """Add what a link leads to.

        Raises:
            OSError: it leads nowhere.
        """
        way = route(link)
        self._watch |= way.directories
        status = os.stat(way.target)
        is_directory = stat.S_ISDIR(status.st_mode)
        if is_directory and is_inside(os.path.realpath(os.path.dirname(link)), way.target):
            return
        if not is_directory and not (counts and stat.S_ISREG(status.st_mode)):
            return
        objection = next(filter(None, map(self._judge, self._on_the_way(way))), None)
        if objection is None and is_directory:
            self._directory(link, way.target, link.count("/") - self._path.count("/"))
        elif objection is None:
            self._watch.add(os.path.dirname(way.target))
            self._file(link, status)
        elif is_directory:
            self._problems.append(f"{link} is not followed: {objection}")
        else:
            message = f"is not read: {objection.path} {objection.message}"
            self._refused[link] = PermissionViolation(link, message, objection.remedy)

    def _on_the_way(self, way: Route) -> Iterator[str]:
        """The links, the target, and the directories between the target and the root, or the top if it lies outside."""
        yield from way.links
        yield way.target
        yield from ancestors(way.target, self._root if is_inside(way.target, self._root) else "/")

    def _judge(self, path: str) -> PermissionViolation | None:
        """Whether a path without links in its directories can be trusted; asked once."""
        if self._trust is None:
            return None
        if path not in self._judged:
            self._judged[path] = self._trust.objection(path, os.lstat(path))
        return self._judged[path]
