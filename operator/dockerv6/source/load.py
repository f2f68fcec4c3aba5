"""From directories and files to one consistent snapshot of all resources.

Each load lists all roots; it reads a file again only when its inode, size or times changed. After reading, it lists all
roots once more: only when both listings agree is the snapshot consistent, because a file may be moved from a directory
that was not listed yet to one that was.

A `Loader` blocks: call it through `asyncio.to_thread`, one call at a time.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from dockerv6.lib.clock import Clock, SystemClock
from dockerv6.source.directory import DirectoryListing, list_root
from dockerv6.source.documents import FileContents, assemble, load_text, unreadable_file
from dockerv6.source.files import (
    MAX_BYTES,
    FileChangedError,
    FileOwnership,
    Signature,
    read_bounded,
    read_file,
)
from dockerv6.source.model import Snapshot, SourceRoot

_ATTEMPTS = 3
_MAX_NAMED = 3
_NANOSECONDS = 1e9


@dataclass(slots=True)
class _ChangingFile:
    signature: Signature
    unchanged_since: float
    since: float


class Quiescence:
    """Decides whether a file is complete or still being written.

    ``cp``, a shell's ``>`` and editors that do not rename write a file in steps, and half of one may be valid YAML. A
    file is complete when its last modification is `settle` seconds old. Its time may be wrong (the clock of another
    host, ``touch -d tomorrow``), so it is also complete when it was seen unchanged for that long.
    """

    def __init__(self, settle: float, patience: float) -> None:
        """Configure.

        Args:
            settle: seconds without a modification after which a file is complete.
            patience: seconds after which a file that keeps changing is read nevertheless.
        """
        self._settle = settle
        self._patience = patience
        self._changing: dict[str, _ChangingFile] = {}

    def wait(self, path: str, signature: Signature, now: float, monotonic: float) -> float:
        """Seconds until the file may be complete; 0 when it is."""
        age = now - signature.modified / _NANOSECONDS
        if age >= self._settle:
            self._changing.pop(path, None)
            return 0.0
        seen = self._changing.get(path)
        if seen is None:
            seen = self._changing[path] = _ChangingFile(signature, monotonic, monotonic)
        elif seen.signature != signature:
            seen.signature, seen.unchanged_since = signature, monotonic
        left = self._settle - max(age, monotonic - seen.unchanged_since)
        if left <= 0:
            del self._changing[path]
            return 0.0
        return left

    def out_of_patience(self, path: str, monotonic: float) -> bool:
        """Whether the file has been changing for longer than `patience`."""
        seen = self._changing.get(path)
        return seen is not None and monotonic - seen.since >= self._patience

    def forget_all_but(self, paths: set[str]) -> None:
        """Forget deleted files."""
        for path in self._changing.keys() - paths:
            del self._changing[path]


@dataclass(slots=True)
class _Pass:
    """The result of reading all listed files once."""

    files: dict[str, FileContents] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)  # changing files: seconds until they may be complete
    moving: set[str] = field(default_factory=set)  # files that keep changing, or changed between listing and reading
    read: int = 0


class Loader:
    """Loads the same roots repeatedly."""

    def __init__(
        self,
        paths: Sequence[str],
        *,
        clock: Clock,
        ownership: FileOwnership | None,
        settle: float = 0.2,
        patience: float = 5.0,
    ) -> None:
        """Configure; nothing is read yet.

        Args:
            paths: directories or files. When two of them define the same resource, the earlier path wins.
            clock: for the age of files.
            ownership: the users whose files are accepted; None accepts all files.
            settle: seconds without a modification after which a file is complete; 0 reads every file at once.
            patience: seconds after which a file that keeps changing is read nevertheless.
        """
        self._paths = tuple(dict.fromkeys(paths))
        self._clock = clock
        self._ownership = ownership
        self._quiescence = Quiescence(settle, patience)
        self._cache: dict[str, tuple[Signature, FileContents]] = {}
        self._confirmed: dict[str, DirectoryListing] = {}

    def load(self, streams: Mapping[str, FileContents] = MappingProxyType({})) -> Snapshot:
        """Read all roots. Problems are part of the snapshot; nothing is raised.

        Args:
            streams: contents of standard input and named pipes by name. They follow the files in precedence.
        """
        changed: set[str] = set()
        for _ in range(_ATTEMPTS):
            listings = self._list()
            result = self._read(listings)
            again = listings if listings == self._confirmed and not result.read else self._list()
            changed = {path for path in self._paths if not _same(listings[path], again[path], result)}
            if not changed:
                break
        self._confirmed = {} if changed else listings
        self._forget(listings)
        roots = [_root(path, listings[path], result, changing=path in changed) for path in self._paths]
        roots.extend(SourceRoot(name, listed=True, files=1) for name in streams)
        return assemble(
            roots,
            {**result.files, **streams},
            problems={path: listings[path].problems for path in self._paths},
            changing=result.waits,
            retry_after=min(result.waits.values(), default=None),
        )

    def _list(self) -> dict[str, DirectoryListing]:
        return {path: list_root(path, self._ownership) for path in self._paths}

    def _read(self, listings: Mapping[str, DirectoryListing]) -> _Pass:
        result = _Pass()
        seen: set[tuple[int, int]] = set()
        for listing in listings.values():
            for path, violation in listing.refused.items():
                result.files[path] = unreadable_file(path, violation.message, violation.remedy)
            for path, signature in listing.files.items():
                identity = (signature.device, signature.inode)
                if path not in result.files and identity not in seen:
                    seen.add(identity)
                    self._file(path, signature, result)
        return result

    def _file(self, path: str, signature: Signature, result: _Pass) -> None:
        cached = self._cache.get(path)
        if cached is not None and cached[0] == signature:
            result.files[path] = cached[1]
            return
        monotonic = self._clock.monotonic()
        wait = self._quiescence.wait(path, signature, self._clock.now(), monotonic)
        if wait > 0:
            result.moving.add(path)
            if not self._quiescence.out_of_patience(path, monotonic):
                result.waits[path] = wait
                if cached is not None:
                    result.files[path] = cached[1]
                return
        result.read += 1
        try:
            contents = load_text(path, read_file(path, signature))
        except (FileChangedError, FileNotFoundError):
            result.files[path] = unreadable_file(
                path, "the file changed while it was read", "replace it in one step: write another file, then mv"
            )
        except OSError as error:
            result.files[path] = unreadable_file(
                path, f"can't read the file: {error.strerror}", "check its permissions and the disk"
            )
        else:
            self._cache[path] = (signature, contents)
            result.files[path] = contents

    def _forget(self, listings: Mapping[str, DirectoryListing]) -> None:
        """Drop cached contents of deleted files. All are kept while a root can't be listed: its files may come back."""
        if any(listing.problems for listing in listings.values()):
            return
        present = {path for listing in listings.values() for path in listing.files}
        self._quiescence.forget_all_but(present)
        for path in self._cache.keys() - present:
            del self._cache[path]


def load_paths(paths: Sequence[str], stdin: BinaryIO) -> Snapshot:
    """Read files, directories, named pipes and, for ``-``, standard input, once, whoever owns them.

    A file that is named itself is read whatever its suffix; in directories only resource files are read.
    """
    streams = {path: _stream(path, stdin) for path in paths if path == "-" or Path(path).is_fifo()}
    named = [path for path in paths if path not in streams]
    return Loader(named, clock=SystemClock(), ownership=None, settle=0).load(streams)


def _stream(path: str, stdin: BinaryIO) -> FileContents:
    if path == "-":
        return load_text("<stdin>", stdin.read(MAX_BYTES + 1))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        return load_text(path, read_bounded(descriptor))
    finally:
        os.close(descriptor)


def _same(before: DirectoryListing, after: DirectoryListing, result: _Pass) -> bool:
    """Whether two listings of a root agree. Of files that keep changing, only the presence is compared."""
    if (before.identity, before.problems, before.files.keys()) != (after.identity, after.problems, after.files.keys()):
        return False
    return all(after.files[path] == signature or path in result.moving for path, signature in before.files.items())


def _root(path: str, listing: DirectoryListing, result: _Pass, *, changing: bool) -> SourceRoot:
    problems = list(listing.problems)
    if changing:
        problems.append(f"{path} kept changing while it was read")
    waiting = [file for file in listing.files if file in result.waits]
    if waiting:
        more = f" and {len(waiting) - _MAX_NAMED} more" if len(waiting) > _MAX_NAMED else ""
        problems.append(f"still being written: {', '.join(waiting[:_MAX_NAMED])}{more}")
    return SourceRoot(path, not problems, "; ".join(problems), listing.identity, len(listing.files))
