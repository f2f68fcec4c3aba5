"""Resource files in a real directory, read by the real loader. Names are bytes, as in the kernel."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path

from dockerv6.lib.clock import wait_event
from dockerv6.lib.tasks import CancellationToken
from dockerv6.source.directory import list_root
from dockerv6.source.files import FileOwnership
from dockerv6.source.load import Loader
from dockerv6.source.model import Snapshot
from tests.fakes.clock import FakeClock

POLL = 10.0
"""Seconds between polls, in case that a notification was lost; as in `source.watch`."""


class Directory:
    """A source root that users edit. Has the interface of `files.Files`."""

    def __init__(self, parent: str, clock: FakeClock) -> None:
        """Make an empty directory in ``parent``."""
        self._root = Path(parent, "dockerv6.d")
        self._away = Path(parent, "away")  # a directory that is not there for a while
        self._clock = clock
        self._edits = 0
        self._watchers: dict[asyncio.Event, None] = {}
        self._root.mkdir()

    @property
    def path(self) -> str:
        """The root."""
        return str(self._root)

    def loader(self) -> Loader:
        """The loader of a new process."""
        return Loader([self.path], clock=self._clock, ownership=FileOwnership.of_this_process())

    def read(self) -> Snapshot:
        """Read everything at once, as `dockerv6 plan` does."""
        return Loader([self.path], clock=self._clock, ownership=None, settle=0).load()

    # Edits

    def write(self, name: bytes, content: bytes) -> None:
        """Replace a file in one step. Fails without a change while its directory is a dangling link."""
        path = self._file(name)
        with suppress(FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fill(path.parent / ".new", content).replace(path)
            self.touch()

    def write_in_place(self, name: bytes, content: bytes) -> None:
        """Truncate a file and write to it, as a shell does."""
        self._fill(self._file(name), content)
        self.touch()

    def delete(self, name: bytes) -> None:
        """Delete a file, if it exists."""
        self._file(name).unlink(missing_ok=True)
        self.touch()

    def link(self, name: bytes, target: bytes) -> None:
        """Make a symbolic link in the place of a file; its target need not exist."""
        self._file(name).unlink(missing_ok=True)
        self._file(name).symlink_to(os.fsdecode(target))
        self.touch()

    def take_away(self, name: bytes, *, replacement: str) -> None:
        """A directory disappears (b"": the root).

        Args:
            name: of the directory.
            replacement: "nothing", "empty" (a directory) or "link" (a dangling one).
        """
        path = self._file(name)
        path.rename(self._away)
        if replacement == "empty":
            path.mkdir()
        elif replacement == "link":
            path.symlink_to("/nonexistent/dockerv6")
        self.touch()

    def bring_back(self, name: bytes) -> None:
        """The directory is there again."""
        path = self._file(name)
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        self._away.rename(path)
        self.touch()

    def touch(self) -> None:
        """Notify the watchers."""
        for watcher in self._watchers:
            watcher.set()

    async def watch(self) -> AsyncIterator[object]:
        """Yield at the start, and after changes; notified or not."""
        changed = asyncio.Event()
        self._watchers[changed] = None
        try:
            listed = list_root(self.path, None, CancellationToken())
            yield None
            while True:
                await wait_event(self._clock, changed, POLL)
                changed.clear()
                before, listed = listed, list_root(self.path, None, CancellationToken())
                if listed != before:
                    yield None
        finally:
            self._watchers.pop(changed, None)

    def _file(self, name: bytes) -> Path:
        return self._root / os.fsdecode(name)

    def _fill(self, path: Path, content: bytes) -> Path:
        """Write a file whose times are those of the simulated clock, each a little later than the one before."""
        path.write_bytes(content)
        self._edits += 1
        modified = round(self._clock.now() * 1e9) + self._edits
        os.utime(path, ns=(modified, modified))
        return path


def resource_file(kind: str, name: str, spec: Mapping[str, object], /, **more: object) -> bytes:
    """A document in JSON, which is YAML. ``more`` replaces top-level fields."""
    document = {"apiVersion": "dockerv6.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec, **more}
    return json.dumps(document, ensure_ascii=False).encode(errors="surrogatepass")
