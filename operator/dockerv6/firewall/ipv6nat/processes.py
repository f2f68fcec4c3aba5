"""Whether docker-ipv6nat is at work: its process, in this network namespace."""

from pathlib import Path

COMMAND = "docker-ipv6nat"
"""Its name in /proc/PID/comm (15 bytes at most); the image's start script replaces itself by it."""

_PROC = Path("/proc")


def at_work(proc: Path = _PROC) -> tuple[int, ...]:
    """Process ids of docker-ipv6nat in the network namespace of the calling thread, ascending.

    Only what this PID namespace shows: all of a host's processes, also those in containers, when we run on the host;
    none of them from within a container that has no `--pid host`. Blocks for as long as it takes to list /proc.
    """
    home = _network(proc / "thread-self")
    return tuple(
        sorted(
            int(entry.name)
            for entry in proc.iterdir()
            if entry.name.isdecimal() and _command(entry) == COMMAND and _network(entry) == home
        )
    )


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
    except OSError:  # it has ended
        return ""


def _network(process: Path) -> int | None:
    """What tells network namespaces apart without leave to trace the process, which reading its ns/net needs.

    Every namespace has files of its own below /proc/PID/net (fs/proc/proc_net.c).
    """
    try:
        return (process / "net/dev").stat().st_ino
    except OSError:
        return None
