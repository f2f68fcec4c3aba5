"""Whose files are obeyed: as for sudoers, those that only root or the operator's own user can have written."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0


@dataclass(frozen=True, slots=True)
class PermissionViolation:
    """Why something is refused, and what makes it acceptable."""

    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path} {self.message}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class FileOwnership:
    """The users whose files are obeyed."""

    uids: frozenset[int]

    @classmethod
    def of_this_process(cls, others: Iterable[int] = ()) -> "FileOwnership":
        """Root, the user that this process runs as, and those that it was told to trust."""
        return cls(frozenset({_ROOT, os.geteuid(), *others}))

    def objection(self, path: str, status: os.stat_result) -> PermissionViolation | None:
        """What is wrong with the owner or the mode of a file, a directory or a link.

        A link has no mode of its own. A directory that is root's and sticky, such as ``/tmp``, may be writable: what
        others put there is refused for its own owner, and they can't replace what is not theirs.
        """
        if status.st_uid not in self.uids:
            return PermissionViolation(
                path,
                f"belongs to user {status.st_uid}, who is not trusted",
                f"run chown -h root {path}, or trust the user with --trust-uid {status.st_uid}",
            )
        if stat.S_ISLNK(status.st_mode) or not status.st_mode & _OTHERS_WRITE:
            return None
        if stat.S_ISDIR(status.st_mode) and status.st_uid == _ROOT and status.st_mode & stat.S_ISVTX:
            return None
        return PermissionViolation(path, "can be written by others than its owner", f"run chmod go-w {path}")
