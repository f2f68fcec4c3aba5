"""Fresh installations of Debian: what a release's smallest system has, and a repository for what is installed into it.

A root directory is made of Debian packages, with their maintainer scripts, on first use, and kept. A test gets an
overlay of it, and works with the release's own apt, dpkg and Python.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import packages
from tests.lab.process import marked_environment, run
from tests.lab.session import lab_directory, locked

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from tests.lab.engine import Engine
    from tests.lab.session import Session

SUITES = {"12": "bookworm", "13": "trixie"}
"""The suite of each release."""

_ENTRY = Path(__file__).with_name("debian.sh")
_SYSTEM = ("?essential", "apt", "systemd", "init-system-helpers")
# what tests install: what the package depends on, and what installs wheels
_OFFERED = ("python3", "python3-venv", "python3-pip", "pipx", "iptables", "nftables", "git")
_RECIPE = 1
_REPOSITORY = "var/repository"


class DebianRoot:
    """A fresh installation. What programs change in it ends with the session."""

    def __init__(self, session: Session, release: str) -> None:
        """Create it; the first one of a release takes a minute."""
        self._session = session
        self._lower = _base(release) / "root"
        self._host = session.directory / session.unique("d")
        for name in ("root", "upper", "work"):
            (self._host / name).mkdir(parents=True)

    @property
    def layers(self) -> list[Path]:
        """What it consists of, the uppermost first."""
        return [self._host / "upper", self._lower]

    def copy(self, source: Path, target: str) -> None:
        """Copy a file or a directory of this machine into it."""
        path = self._host / "upper" / target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, path)
        else:
            shutil.copy(source, path)

    def exec(
        self, *argv: str, engine: Engine | None = None, check: bool = True, timeout: float = 600.0
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, beside an engine or without a network; errors as in `process.run`."""
        directory = str(engine.directory) if engine is not None else ""
        command = _command(str(self._lower), self._host, directory, argv)
        command = engine.namespace.enter(command) if engine is not None else ["unshare", "--net", *command]
        return run(command, check=check, timeout=timeout, env=marked_environment(self._session.id))


def _command(lower: str, host: Path, engine: str, argv: Sequence[str]) -> list[str]:
    namespaces = ("--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=KILL")
    return ["unshare", *namespaces, "/bin/sh", str(_ENTRY), lower, str(host), engine, *argv]


def _base(release: str) -> Path:
    inputs = repr((_RECIPE, _SYSTEM, _OFFERED)).encode()
    digest = hashlib.sha256(inputs + _ENTRY.read_bytes()).hexdigest()[:12]
    path = lab_directory() / "cache" / "debian" / f"{release}-{digest}"
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            _fill(SUITES[release], unfinished)
            unfinished.rename(path)
    return path


def _fill(suite: str, host: Path) -> None:
    root = host / "root"
    packages.make_skeleton(root)
    for name in ("proc", "sys", "dev", "run", "root", "tmp", "etc/apt/apt.conf.d", "var/lib/dpkg/info", "packages"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / _REPOSITORY).mkdir(parents=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()
    for archive in _download(suite, _SYSTEM, root / "packages"):
        packages.extract(archive, root, excluded=())
    packages.write_index(_download(suite, _OFFERED, root / _REPOSITORY))
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:/{_REPOSITORY} ./\n")
    (root / "etc/apt/apt.conf.d/lab").write_text('APT::Sandbox::User "root";\nAPT::Install-Recommends "false";\n')
    for script in ("dpkg --install --force-depends /packages/*.deb", "apt-get update", "rm -r /packages"):
        run(["unshare", "--net", *_command("", host, "", ("sh", "-ec", script))], timeout=600)


def _download(suite: str, names: Sequence[str], target: Path) -> list[Path]:
    with packages.builders_locked(), packages.Apt(suite).downloaded(*names) as archives:
        # an epoch's colon is percent-encoded
        return [Path(shutil.copy(each, target / each.name.replace("%3a", "-"))) for each in archives]
