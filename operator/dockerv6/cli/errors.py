"""From exceptions of the floors below to the one line that a person gets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""

EXPECTED = frozenset(
    {
        "dockerv6.daemon.http:ListenError",
        "dockerv6.dockerd.port:EngineError",
        "dockerv6.firewall.port:FirewallError",
        "dockerv6.hostnet.port:HostNetError",
        "dockerv6.ipam.ledger:LedgerError",
        "dockerv6.lib.statefile:StateFileError",
        "dockerv6.store.lock:AlreadyRunning",
        "dockerv6.store.port:StoreError",
    }
)
"""Roots of the exceptions whose message tells a person what is wrong and what to do. By name: importing the classes
would load the whole daemon to say that a file is missing."""

_NO_STATE = "dockerv6.lib.statefile:StateFileMissingError"


def explained(error: Exception) -> click.ClickException | None:
    """The error as click prints it (``Error: …``, exit code 1); None for one that nobody expected."""
    if isinstance(error, OSError):
        return click.ClickException(_os_error(error))
    lineage = {f"{base.__module__}:{base.__qualname__}" for base in type(error).__mro__}
    if _NO_STATE in lineage:
        return click.ClickException(f"{error}; start it with `dockerv6 run`, or name its directory with --state-dir")
    if lineage & EXPECTED:
        return click.ClickException(f"{error}{_as_root(error.__cause__)}")
    return None


@contextmanager
def unusable_settings() -> Iterator[None]:
    """Around calls of the daemon's floor, whose contract says ValueError for settings that can't be used."""
    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _os_error(error: OSError) -> str:
    what = error.strerror or str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{what}{_as_root(error)}"


def _as_root(error: BaseException | None) -> str:
    if isinstance(error, PermissionError) and os.geteuid() != 0:
        return "; you are not root: try again with sudo"
    return ""
