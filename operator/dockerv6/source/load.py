"""Directories and files to one snapshot of everything that people wrote.

Every load lists everything anew; a file is only read again when its inode, size or times changed. After reading,
everything is listed once more: only when both looks agree is the snapshot one moment's truth, for a file may be moved
from where we have not looked yet to where we have.

A `Loader` blocks: call it through `asyncio.to_thread`, one call at a time.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from dockerv6.lib.clock import Clock, SystemClock
from dockerv6.source.assembly import assemble
from dockerv6.source.directory import Listing, Signature, list_root
from dockerv6.source.documents import FileContents, load_text, unreadable_file
from dockerv6.source.limits import MAX_BYTES
from dockerv6.source.model import Snapshot, SourceRoot
from dockerv6.source.permissions import FileOwnership
from dockerv6.source.reading import FileChangedError, read_bounded, read_file
from dockerv6.source.settling import Quiescence
from dockerv6.source.text import Flaw

_ATTEMPTS = 3
_SHOWN = 3


@dataclass(slots=True)
class _Pass:
    """What one pass over all listed files gave."""

    files: dict[str, FileContents] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)  # files not at rest: seconds until they may be
    moving: set[str] = field(default_factory=set)  # files that keep changing, or changed between look and read
    read: int = 0


class Loader:
    """Reads the same roots again and again."""

    def __init__(
        self,
        paths: Sequence[str],
        *,
        clock: Clock,
        trust: FileOwnership | None,
        settle: float = 0.2,
        patience: float = 5.0,
    ) -> None:
        """Read nothing yet.

        Args:
            paths: directories or files; an earlier one wins where two hold the same resource.
            clock: to tell how long files have been at rest.
            trust: whose files are obeyed; None obeys everybody's.
            settle: seconds that a file must have been at rest before it counts; 0 counts every file.
            patience: seconds after which a file that is never at rest is read all the same.
        """
        self._paths = tuple(dict.fromkeys(paths))
        self._clock = clock
        self._trust = trust
        self._settling = Quiescence(settle, patience)
        self._cache: dict[str, tuple[Signature, FileContents]] = {}
        self._confirmed: dict[str, Listing] = {}

    def load(self, streams: Mapping[str, FileContents] = MappingProxyType({})) -> Snapshot:
        """Read everything. What is wrong is in the snapshot; nothing is raised.

        Args:
            streams: contents that come from elsewhere, by the name that they were given under; they follow the files.
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
            unsettled=result.waits,
            retry_after=min(result.waits.values(), default=None),
        )

    def _list(self) -> dict[str, Listing]:
        return {path: list_root(path, self._trust) for path in self._paths}

    def _read(self, listings: Mapping[str, Listing]) -> _Pass:
        result = _Pass()
        seen: set[tuple[int, int]] = set()
        for listing in listings.values():
            for path, objection in listing.refused.items():
                result.files[path] = unreadable_file(path, Flaw(1, 1, objection.message, objection.remedy))
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
        wait = self._settling.wait(path, signature, self._clock.now(), monotonic)
        if wait > 0:
            result.moving.add(path)
            if not self._settling.out_of_patience(path, monotonic):
                result.waits[path] = wait
                if cached is not None:
                    result.files[path] = cached[1]
                return
        result.read += 1
        try:
            contents = load_text(path, read_file(path, signature))
        except (FileChangedError, FileNotFoundError):
            result.files[path] = _keeps_changing(path)
        except OSError as error:
            flaw = Flaw(1, 1, f"can't be read: {error.strerror}", "check the file's permissions and the disk")
            result.files[path] = unreadable_file(path, flaw)
        else:
            self._cache[path] = (signature, contents)
            result.files[path] = contents

    def _forget(self, listings: Mapping[str, Listing]) -> None:
        """Drop what is known of files that are gone, unless their root could not be listed: it may come back."""
        if any(listing.problems for listing in listings.values()):
            return
        present = {path for listing in listings.values() for path in listing.files}
        self._settling.forget_all_but(present)
        for path in self._cache.keys() - present:
            del self._cache[path]


def load_paths(paths: Sequence[str], stdin: BinaryIO) -> Snapshot:
    """Read files, directories, named pipes and, for ``-``, standard input, once, whoever owns them.

    A file counts whatever its name when it is named itself; in directories only resource files count.
    """
    streams = {path: _stream(path, stdin) for path in paths if path == "-" or Path(path).is_fifo()}
    named = [path for path in paths if path not in streams]
    return Loader(named, clock=SystemClock(), trust=None, settle=0).load(streams)


def _stream(path: str, stdin: BinaryIO) -> FileContents:
    if path == "-":
        return load_text("<stdin>", stdin.read(MAX_BYTES + 1))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        return load_text(path, read_bounded(descriptor))
    finally:
        os.close(descriptor)


def _keeps_changing(path: str) -> FileContents:
    return unreadable_file(
        path, Flaw(1, 1, "changed while it was read", "write it in one go: to another name, then mv")
    )


def _same(before: Listing, after: Listing, result: _Pass) -> bool:
    """Whether two looks at a root agree. Of files that keep changing only the presence counts."""
    if (before.identity, before.problems, before.files.keys()) != (after.identity, after.problems, after.files.keys()):
        return False
    return all(after.files[path] == signature or path in result.moving for path, signature in before.files.items())


def _root(path: str, listing: Listing, result: _Pass, *, changing: bool) -> SourceRoot:
    problems = list(listing.problems)
    if changing:
        problems.append(f"{path} kept changing while it was read")
    waiting = [file for file in listing.files if file in result.waits]
    if waiting:
        more = f" and {len(waiting) - _SHOWN} more" if len(waiting) > _SHOWN else ""
        problems.append(f"still being written: {', '.join(waiting[:_SHOWN])}{more}")
    return SourceRoot(path, not problems, "; ".join(problems), listing.identity, len(listing.files))
