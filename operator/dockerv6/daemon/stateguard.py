"""Notices that the state file was removed, replaced or damaged while the daemon runs, and writes it again.

The store and the ledger have all that they committed in memory, except for events. SQLite itself would go on writing
into the removed file, and the next start would find another one, or none.
"""

import asyncio
from pathlib import Path

from dockerv6.lib.database import CachedTables

SET_ASIDE = ".set-aside"
"""Appended to the name of a file that was found in place of the state file."""

_SIDES = ("", "-wal", "-shm")


class StateGuard:
    """Compares the file at a path with the one that was opened."""

    def __init__(self, path: Path, *components: CachedTables) -> None:
        """Take the file that the components have open now."""
        self._path = path
        self._components = components
        self._inodes = self._read_inodes()
        self._size = self._path.stat().st_size
        self._detached = False

    async def check(self) -> str:
        """Write the file again if that is needed; returns what happened, "": nothing.

        Raises:
            StoreError, LedgerError, OSError: it can't be written; the next call tries again.
        """
        found = await asyncio.to_thread(self._find)
        if not found:
            return ""
        if not self._detached:
            await asyncio.to_thread(self._set_aside_others)
            self._detached = True
            for component in self._components:
                await component.detach()
        # what SQLite left: the old log would be replayed into the new file
        kept = await asyncio.to_thread(self._set_aside, _SIDES)
        try:
            for component in self._components:
                await component.attach()
        except Exception as error:
            for component in self._components:
                await component.detach(str(error))
            raise
        self._detached = False
        self._inodes, self._size = self._read_inodes(), self._path.stat().st_size
        aside = f"; what was there is {self._path}{SET_ASIDE} now" if kept else ""
        return f"{self._path} {found} while dockerv6 ran. It was written again from memory, without past events{aside}"

    def _find(self) -> str:
        if self._detached:
            return "was removed"
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

    def _set_aside(self, sides: tuple[str, ...]) -> bool:
        renamed = [self._rename(side) for side in sides]
        return any(renamed)

    def _rename(self, side: str) -> bool:
        try:
            self._side(side).rename(self._path.with_name(f"{self._path.name}{SET_ASIDE}{side}"))
        except FileNotFoundError:
            return False
        return True
