"""From directories and files to one consistent snapshot of all resources.

Each load lists all roots; it reads a file again only when its inode, size or times changed. After reading, it lists all
roots once more: only when both listings agree is the snapshot consistent, because a file may be moved from a directory
that was not listed yet to one that was.

A `Loader` blocks: call it through `lib.tasks.to_cancellable_thread`, one call at a time.

Paths of the file system become printable text here. Nothing behind this module sees bytes that are not UTF-8.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from dockerv6.lib.clock import Clock, SystemClock
from dockerv6.lib.tasks import CancellationToken, OperationCancelled
from dockerv6.lib.text import escaped, printable_path
from dockerv6.source.directory import DirectoryListing, list_root
from dockerv6.source.documents import FileContents, assemble, load_text, unreadable_file
from dockerv6.source.files import (
    MAX_BYTES,
    FileChangedError,
    FileOwnership,
    Signature,
    read_bounded,
    read_file,
    reading_error,
)
from dockerv6.source.model import Diagnostic, DirectoryState, Position, Severity, Snapshot, SourceRoot, parents

logger = logging.getLogger(__name__)

MAX_TOTAL_BYTES = 512 * 1024 * 1024
MAX_TOTAL_NODES = 2_000_000
"""Limits of all files together. The smallest files are read first, so that a large one can't displace others."""

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
    bytes: int = 0
    nodes: int = 0


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
        texts: dict[str, bytes] | None = None,
    ) -> None:
        """Configure; nothing is read yet.

        Args:
            paths: directories or files. When two of them define the same resource, the earlier path wins.
            clock: for the age of files.
            ownership: the users whose files are accepted; None accepts all files.
            settle: seconds without a modification after which a file is complete; 0 reads every file at once.
            patience: seconds after which a file that keeps changing is read nevertheless.
            texts: gets the bytes of each file that is read, as they were parsed, by its printable path.
        """
        self._texts = texts
        self._paths = tuple(dict.fromkeys(paths))
        self._clock = clock
        self._ownership = ownership
        self._quiescence = Quiescence(settle, patience)
        self._cache: dict[str, tuple[Signature, FileContents]] = {}
        self._confirmed: dict[str, DirectoryListing] = {}
        self._complete: dict[str, Mapping[str, Signature]] = {}  # the files of each root when it had no problem

    def load(
        self, token: CancellationToken | None = None, streams: Mapping[str, FileContents] = MappingProxyType({})
    ) -> Snapshot:
        """Read all roots. Problems are part of the snapshot.

        Args:
            token: ends it early.
            streams: contents of standard input and named pipes by name. They follow the files in precedence.

        Raises:
            OperationCancelled: the token was cancelled.
        """
        token = token or CancellationToken()
        changed: set[str] = set()
        for _ in range(_ATTEMPTS):
            listings = self._list(token)
            result = self._read(listings, token)
            again = listings if listings == self._confirmed and not result.read else self._list(token)
            changed = {path for path in self._paths if not _same(listings[path], again[path], result)}
            if not changed:
                break
        self._confirmed = {} if changed else listings
        self._forget(listings)
        roots = [_root(path, listings[path], result, changing=path in changed) for path in self._paths]
        roots.extend(SourceRoot(printable_path(name), listed=True, files=1) for name in streams)
        files = {printable_path(path): contents for path, contents in (*result.files.items(), *streams.items())}
        return assemble(
            roots,
            files,
            problems=[found for path in self._paths for found in _problems(path, listings[path])],
            changing=map(printable_path, result.waits),
            retry_after=min(result.waits.values(), default=None),
        )

    def _list(self, token: CancellationToken) -> dict[str, DirectoryListing]:
        return {path: list_root(path, self._ownership, token) for path in self._paths}

    def _read(self, listings: Mapping[str, DirectoryListing], token: CancellationToken) -> _Pass:
        result = _Pass()
        seen: set[tuple[int, int]] = set()
        order: dict[str, Signature | None] = {}
        for listing in listings.values():
            order |= dict.fromkeys(path for path in listing.refused if path not in order)
            for path, violation in listing.refused.items():
                result.files[path] = unreadable_file(printable_path(path), violation.message, violation.remedy)
            for path, signature in listing.files.items():
                identity = (signature.device, signature.inode)
                if path not in order and identity not in seen:
                    seen.add(identity)
                    order[path] = signature
        for path, listed in sorted(order.items(), key=_size):
            token.check()
            if listed is not None:
                self._file_within_limits(path, listed, result, token)
        result.files = {path: result.files[path] for path in order if path in result.files}
        return result

    def _file_within_limits(self, path: str, signature: Signature, result: _Pass, token: CancellationToken) -> None:
        result.bytes += min(signature.size, MAX_BYTES)
        if result.bytes > MAX_TOTAL_BYTES or result.nodes > MAX_TOTAL_NODES:
            result.files[path] = unreadable_file(
                printable_path(path),
                f"it is one of the largest files, and all files together have more than"
                f" {MAX_TOTAL_BYTES // 1024 // 1024} MiB or {MAX_TOTAL_NODES} values",
                "move files that have no resources out of the directory",
            )
            return
        self._file(path, signature, result, token)
        if path in result.files:
            result.nodes += result.files[path].nodes

    def _file(self, path: str, signature: Signature, result: _Pass, token: CancellationToken) -> None:
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
        name = printable_path(path)
        try:
            text = read_file(path, signature)
            contents = _decoded(name, text, token)
        except (FileChangedError, FileNotFoundError):
            result.files[path] = unreadable_file(
                name, "the file changed while it was read", "replace it in one step: write another file, then mv"
            )
        except OSError as error:
            result.files[path] = unreadable_file(
                name, f"can't read the file: {reading_error(error)}", "check its permissions and the disk"
            )
        except MemoryError:
            result.files[path] = unreadable_file(
                name, "there is not enough memory to read the file", "allow dockerv6 more memory"
            )
        else:
            if self._texts is not None:
                self._texts[name] = text
            self._cache[path] = (signature, contents)
            result.files[path] = contents

    def _forget(self, listings: Mapping[str, DirectoryListing]) -> None:
        """Drop cached contents of deleted files.

        Of a root that can't be listed, those of its last complete listing are kept: they may come back.
        """
        kept: set[str] = set()
        for root, listing in listings.items():
            kept.update(listing.files)
            if listing.problems:
                kept.update(self._complete.get(root, ()))
            else:
                self._complete[root] = listing.files
        self._quiescence.forget_all_but(kept)
        for path in self._cache.keys() - kept:
            del self._cache[path]


def load_paths(
    paths: Sequence[str],
    stdin: BinaryIO,
    ownership: FileOwnership | None = None,
    texts: dict[str, bytes] | None = None,
) -> Snapshot:
    """Read files, directories, named pipes and, for ``-``, standard input, once.

    A file that is named itself is read whatever its suffix; in directories only resource files are read.

    Args:
        paths: of all these.
        stdin: what ``-`` stands for.
        ownership: the users whose files are accepted; None accepts all files.
        texts: gets the bytes of each file, as they were parsed, by its name in the snapshot.
    """
    read = {path: _stream(path, stdin) for path in paths if path == "-" or Path(path).is_fifo()}
    names = {path: "<stdin>" if path == "-" else printable_path(path) for path in read}
    if texts is not None:
        texts.update({names[path]: text for path, text in read.items()})
    streams = {path: _decoded(names[path], text) for path, text in read.items()}
    named = [path for path in paths if path not in streams]
    return Loader(named, clock=SystemClock(), ownership=ownership, settle=0, texts=texts).load(streams=streams)


def _decoded(name: str, content: bytes, token: CancellationToken | None = None) -> FileContents:
    """`load_text`, contained: an exception that it does not document is a bug, and concerns this file only.

    Raises:
        OperationCancelled: the token was cancelled.
        MemoryError: the next attempt may succeed.
    """
    try:
        return load_text(name, content, token)
    except (OperationCancelled, MemoryError):
        raise
    except Exception as error:
        logger.exception("reading %s failed", escaped(name))
        cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        message = f"internal error: {cause}; the file's previous resources are kept"
        return unreadable_file(name, message, "report it with the file and the log; change the file to go on")


def _stream(path: str, stdin: BinaryIO) -> bytes:
    """Standard input or a named pipe, cut off one byte after `MAX_BYTES`."""
    if path == "-":
        return stdin.read(MAX_BYTES + 1)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        return read_bounded(descriptor)
    finally:
        os.close(descriptor)


def _same(before: DirectoryListing, after: DirectoryListing, result: _Pass) -> bool:
    """Whether two listings of a root agree. Of files that keep changing, only the presence is compared."""
    if (before.identity, before.problems, before.files.keys()) != (after.identity, after.problems, after.files.keys()):
        return False
    return all(after.files[path] == signature or path in result.moving for path, signature in before.files.items())


def _size(listed: tuple[str, Signature | None]) -> tuple[int, str]:
    path, signature = listed
    return signature.size if signature is not None else 0, path


def _problems(path: str, listing: DirectoryListing) -> Iterator[Diagnostic]:
    for problem in listing.problems:
        yield Diagnostic(Position(printable_path(path)), Severity.ERROR, (), problem)
    for link, problem in listing.broken_links.items():
        remedy = "correct the link or remove it"
        yield Diagnostic(Position(printable_path(link)), Severity.WARNING, (), problem, remedy)


def _root(path: str, listing: DirectoryListing, result: _Pass, *, changing: bool) -> SourceRoot:
    problems = list(listing.problems)
    if changing:
        problems.append(f"{printable_path(path)} kept changing while it was read")
    waiting = [printable_path(file) for file in listing.files if file in result.waits]
    if waiting:
        more = f" and {len(waiting) - _MAX_NAMED} more" if len(waiting) > _MAX_NAMED else ""
        problems.append(f"still being written: {', '.join(waiting[:_MAX_NAMED])}{more}")
    counts = Counter(above for file in listing.files for above in parents(file, path))
    subdirectories = {
        printable_path(each): DirectoryState(identity, counts[each])
        for each, identity in listing.subdirectories.items()
    }
    return SourceRoot(
        printable_path(path), not problems, "; ".join(problems), listing.identity, len(listing.files), subdirectories
    )
