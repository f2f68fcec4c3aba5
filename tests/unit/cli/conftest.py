import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockerv6.store.lock import LOCK_FILE
from tests.unit.cli.harness import Daemon


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("DOCKERV6_", "DOCKER_")) or name in {"NO_COLOR", "FORCE_COLOR"}:
            monkeypatch.delenv(name)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """A state directory that the command line uses. No daemon holds its lock."""
    directory = tmp_path / "state"
    directory.mkdir()
    monkeypatch.setenv("DOCKERV6_STATE_DIR", str(directory))
    return Daemon(directory)


@pytest.fixture
def running(daemon: Daemon) -> Iterator[Daemon]:
    """The same while a daemon holds the lock."""
    with (daemon.directory / LOCK_FILE).open("w+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711\n")
        file.flush()
        yield daemon


@pytest.fixture
def config(tmp_path: Path, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration directory that the command line uses, which does not exist yet."""
    assert daemon
    directory = tmp_path / "config"
    monkeypatch.setenv("DOCKERV6_CONFIG_DIR", str(directory))
    return directory
