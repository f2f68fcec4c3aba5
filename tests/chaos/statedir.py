"""The operator's state directory on a small file system of its own, which can be filled and made read-only.

It is mounted in a mount namespace that a process of the lab keeps, so that nothing of it is left on the machine.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.namespace import start
from tests.lab.process import end, run

if TYPE_CHECKING:
    import random

    from tests.lab.operator import Operator

_SIZE = "16m"
_BLOCK = bytes(1 << 16)
_LONGEST_DAMAGE = 512
STATE_FILES = ("state.db", "state.db-wal", "state.db-shm")


class StateDirectory:
    """The directory of one operator, which is not running yet. `close` ends the mount namespace."""

    def __init__(self, operator: Operator, session: str) -> None:
        self._operator = operator
        script = 'mount -t tmpfs -o "size=$1,mode=0700" tmpfs "$2" && echo ready && exec sleep infinity'
        argv = ["unshare", "--mount", "/bin/sh", "-c", script, "sh", _SIZE, str(operator.state_dir)]
        self._holder = start(session, argv)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        self._enter = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]
        operator.launcher = self._enter
        self.path = Path(f"/proc/{self._holder.pid}/root{operator.state_dir.resolve()}")
        """The directory as seen from outside of the mount namespace."""

    def close(self) -> None:
        """End the mount namespace. The operator must have ended."""
        end(self._holder)

    def fill(self) -> None:
        """Write a file until the file system is full."""
        with self._ballast.open("wb", buffering=0) as file:
            block = _BLOCK
            while block:
                try:
                    written = file.write(block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    written = 0
                block = block if written == len(block) else block[: len(block) // 2]

    def free(self) -> None:
        """Undo `fill`."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def remount(self, mode: str) -> None:
        """Mount it `ro` or `rw`. The operator must not have files open."""
        run([*self._enter, "mount", "-o", f"remount,{mode}", str(self._operator.state_dir)])

    def size(self) -> int:
        """The size of the database in bytes."""
        return (self.path / STATE_FILES[0]).stat().st_size

    def backup(self, directory: Path) -> None:
        """Copy the state files. The operator must have ended."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for name in STATE_FILES:
            if (self.path / name).exists():
                shutil.copy2(self.path / name, directory)

    def remove(self) -> None:
        """Remove the state files, as the message about a damaged file recommends."""
        for name in STATE_FILES:
            (self.path / name).unlink(missing_ok=True)

    def restore(self, directory: Path) -> None:
        """Replace the state files by those of a backup."""
        self.remove()
        for path in directory.iterdir():
            shutil.copy2(path, self.path)

    def damage(self, rng: random.Random, first: int, end: int) -> tuple[int, int]:
        """Overwrite bytes of the database at a random place in a range; return the place and the number of bytes."""
        place = rng.randrange(first, end)
        length = min(rng.randint(1, _LONGEST_DAMAGE), end - place)
        with (self.path / STATE_FILES[0]).open("r+b") as file:
            file.seek(place)
            file.write(rng.randbytes(length))
        return place, length
