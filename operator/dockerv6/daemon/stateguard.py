"""Notices that the state file was removed, replaced or damaged while the daemon runs, and writes it again.

The store and the ledger have all that they committed in memory, except for events. SQLite itself would go on writing
into the removed file, and the next start would find another one, or none.
"""

import asyncio
import errno
from pathlib import Path

from dockerv6.lib.database import CachedTables

SET_ASIDE = ".set-aside"
"""Appended to the name of a file that was found in place of the state file."""

_SIDES = ("", "-wal", "-shm")
_NAMES = 9  # that are tried
_OCCUPIED = {errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST}  # rename(2), about a directory


class StateGuard:
    """Compares the file at a path with the one that was opened."""

    def __init__(self, path: Path, *components: CachedTables) -> None:
        """Take the file that the components have open now."""
        self._path = path
        self._components = components
        self._inodes = self._read_inodes()
        self._size = self._path.stat().st_size
        self._found = ""  # what happened to the file, until it is written again
        self._written: int | None = None  # the inode of a file that could not be written completely
        self._kept: list[str] = []  # the paths of what was found in its place

    async def check(self) -> str:
        """Write the file again if that is needed; returns what happened, "": nothing.

        Raises:
            StoreError, LedgerError, OSError: it can't be written; the next call tries again.
        """
        found = await asyncio.to_thread(self._find)
        if not found:
            return ""
        if not self._found:
            await asyncio.to_thread(self._set_aside_others)
            self._found = found
        try:
            await self._write_again()
        except BaseException as error:  # also when cancelled: no caller of a component may wait for ever
            for component in self._components:
                component.refuse(str(error) or type(error).__name__)
            raise
        self._inodes, self._size = self._read_inodes(), self._path.stat().st_size
        aside = f"; what was there is {' and '.join(self._kept)} now" if self._kept else ""
        self._found, self._written, self._kept = "", None, []
        return f"{self._path} {found} while dockerv6 ran. It was written again from memory, without past events{aside}"

    async def _write_again(self) -> None:
        for component in self._components:
            await component.detach()
        # what SQLite left: the old log would be replayed into the new file
        await asyncio.to_thread(self._set_aside, _SIDES)
        try:
            for component in self._components:
                await component.attach()
        finally:
            self._written = self._inode("")

    def _find(self) -> str:
        if self._found:
            return self._found
        damaged = next((each.damaged for each in self._components if each.damaged), "")
        now = self._read_inodes()
        if now != self._inodes:
            return "was removed" if None in now else "was replaced"
        size = self._path.stat().st_size
        if size < self._size:
            return "was truncated"
        self._size = size
        return f"was damaged ({damaged})" if damaged else ""

    def _read_inodes(self) -> tuple[int | None, int | None]:
        """Of the file and of its log, which SQLite keeps for as long as it has the file open."""
        return self._inode(""), self._inode("-wal")

    def _inode(self, side: str) -> int | None:
        try:
            return self._side(side).stat().st_ino
        except FileNotFoundError:
            return None

    def _side(self, side: str) -> Path:
        return self._path.with_name(self._path.name + side)

    def _set_aside_others(self) -> None:
        """Keep files of others from SQLite, which deletes the log by its name when it closes the file."""
        file, log = self._read_inodes()
        if file not in {None, self._inodes[0]}:
            self._set_aside(("",))
        if log not in {None, self._inodes[1]}:
            self._set_aside(("-wal", "-shm"))

    def _set_aside(self, sides: tuple[str, ...]) -> None:
        """Rename what is there. What an earlier call could not write completely is removed instead."""
        incomplete = self._written is not None and self._inode("") == self._written
        for side in sides:
            if incomplete:
                self._side(side).unlink(missing_ok=True)
            else:
                self._rename(side)

    def _rename(self, side: str) -> None:
        """Rename a file, if it exists. A directory that has the name, or is renamed itself, replaces nothing."""
        for number in range(1, _NAMES + 1):
            name = f"{self._path}{SET_ASIDE}{f'-{number}' if number > 1 else ''}{side}"
            try:
                self._side(side).rename(name)
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno not in _OCCUPIED or number == _NAMES:
                    raise
            else:
                self._kept += [name] if name not in self._kept else []
                return
