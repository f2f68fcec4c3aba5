"""Following symbolic links one at a time, to know every directory that a change of the path's meaning shows up in."""

# ruff: noqa: PTH100, PTH109, PTH112, PTH115, PTH118, PTH120
# Paths come by the ten thousand here: pathlib takes ten times as long, and it hides which links are followed when.

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

_MAX_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a path leads.

    Attributes:
        target: the path with no link in it.
        links: every link on the way.
        directories: those that hold these links; a change in one of them may lead elsewhere.
    """

    target: str
    links: tuple[str, ...]
    directories: frozenset[str]


def route(path: str) -> Route:
    """Follow a path to its end.

    Raises:
        OSError: it leads nowhere (ENOENT), in circles (ELOOP), or may not be followed.
    """
    links: list[str] = []
    # Not abspath: it takes "link/.." for the directory of the link, which is not where the kernel goes.
    pending = _parts(os.path.join(os.getcwd(), path))
    at = "/"
    while pending:
        part = pending.pop()
        if part == "..":
            at = os.path.dirname(at)
            continue
        step = os.path.join(at, part)
        try:
            content = os.readlink(step)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: it is no link
                raise
            at = step
            continue
        links.append(step)
        if len(links) > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if content.startswith("/"):
            at = "/"
        pending.extend(_parts(content))
    return Route(at, tuple(links), frozenset(map(os.path.dirname, links)))


def ancestors(path: str, top: str = "/") -> Iterator[str]:
    """The directories that a path without links lies in, the nearest first, up to and with `top`."""
    while path not in {top, "/"}:
        path = os.path.dirname(path)
        yield path


def is_inside(path: str, directory: str) -> bool:
    """Whether a path without links lies in a directory or is that directory."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def nearest_existing(path: str) -> str:
    """The directory furthest down the path that is there."""
    path = os.path.abspath(path)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _parts(path: str) -> list[str]:
    """Its components, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]
