"""Real ufw and firewalld on an engine's host, from Debian packages that are extracted and not installed.

They run in the engine's network namespace, with mount and PID namespaces, a D-Bus daemon and an iptables of their own.
The engine finds that D-Bus at the usual place (`root.sh`), so that it talks to firewalld if it is started after it.
"""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import packages
from tests.lab.engine import BUS
from tests.lab.process import end, first_child, marked_environment, run, spawn

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

    from tests.lab.engine import Engine

_PROGRAMS = ("ufw", "firewalld", "dbus-daemon", "nftables", "iptables", "busybox-static")
# large, and needed by none of them; libc6's gconv and documentation too
_UNNEEDED = (
    *("perl", "libperl", "systemd", "libsystemd-shared", "polkitd", "adduser", "dpkg", "debconf", "gcc-", "usrmerge"),
    *("libcryptsetup", "passwd", "sgml-base", "xml-core", "libpam", "mount", "tar", "sed", "ucf"),
)
_EXCLUDED = ("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*", "*/gconv/*")
_NAMESPACES = ("--mount", "--pid", "--net", "--root", "--wd")
# for the first start on a busy machine
_PATIENCE = 120.0
_PAUSE = 0.02


class FirewallError(RuntimeError):
    """The programs did not start. The message ends with their log."""


def tree() -> Path:
    """Return the root directory with the programs, built on first use (about 10 s) and kept for later runs.

    Raises:
        PackagesError: there is no mirror, or a package is not available.
    """
    return packages.kept("firewalls", _fill)


def _fill(root: Path) -> None:
    with packages.Apt("bookworm").downloaded(*_PROGRAMS) as archives:
        for archive in archives:
            if not archive.name.startswith(_UNNEEDED):
                packages.extract(archive, root, excluded=_EXCLUDED)
    for name in ("proc", "sys", "dev", "run", "tmp", "root", ".old", "var/lib"):
        (root / name).mkdir(parents=True, exist_ok=True)
    busybox = root / "bin/busybox"
    for applet in run([str(busybox), "--list"]).stdout.split():
        if not any((root / where / applet).exists() for where in ("usr/bin", "usr/sbin")):
            (root / "usr/bin" / applet).symlink_to("busybox")
    for name in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            (root / "usr/sbin" / f"{name}{suffix}").unlink(missing_ok=True)
            (root / "usr/sbin" / f"{name}{suffix}").symlink_to("xtables-nft-multi")
    packages.compile_python(root)
    # what maintainer scripts would create
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nmessagebus:x:100:100::/nonexistent:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\nmessagebus:x:100:\n")
    templates = root / "usr/share/ufw"
    for template in (*templates.glob("iptables/*.rules"), *templates.glob("*.init"), templates / "ufw.conf"):
        shutil.copy(template, root / "etc/ufw" / template.name)
    run(["chroot", str(root), "ufw", "version"])


class HostFirewalls:
    """ufw and firewalld of one host; `start`, then `ufw` or `start_firewalld`, then `close`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._directory = engine.session.directory / engine.session.unique("f")
        self._log = self._directory / "log"
        self._bus: subprocess.Popen[str] | None = None
        self._firewalld: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Set up the namespaces, and start the D-Bus daemon. No firewall is active yet."""
        for part in ("root", "upper", "work"):
            (self._directory / part).mkdir(parents=True)
        script = Path(__file__).with_name("firewalls.sh")
        engine = self._engine.directory
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", script, tree(), self._directory, engine]
        self._bus = spawn(
            self._engine.namespace.enter([*map(str, argv), str(engine / BUS)]), self._log, self._engine.session.id
        )
        self._await((engine / BUS).exists, self._bus, "the D-Bus daemon")

    def exec(self, *argv: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of the tree on the host to its end; errors as in `process.run`."""
        return run(self._enter(argv), check=check, stdin=stdin, env=marked_environment(self._engine.session.id))

    def ufw(self, *arguments: str) -> str:
        """Run `ufw`; return its output. Errors as in `process.run`."""
        return self.exec("ufw", *arguments).stdout

    def start_firewalld(self) -> None:
        """Start firewalld, and wait until it has applied its rules."""
        self._firewalld = spawn(self._enter(["firewalld", "--nofork", "--nopid"]), self._log, self._engine.session.id)
        running = ("firewall-cmd", "--state")
        self._await(lambda: self.exec(*running, check=False).returncode == 0, self._firewalld, "firewalld")

    def firewall_cmd(self, *arguments: str) -> str:
        """Run `firewall-cmd`; return its output. Errors as in `process.run`."""
        return self.exec("firewall-cmd", *arguments).stdout

    def close(self) -> None:
        """Kill all programs. Their rules stay."""
        for process in (self._firewalld, self._bus):
            if process is not None:
                end(process, first=signal.SIGKILL)
        (self._engine.directory / BUS).unlink(missing_ok=True)
        shutil.rmtree(self._directory)

    def _enter(self, argv: Sequence[str]) -> list[str]:
        assert self._bus is not None, "not started"
        path = "PATH=/usr/sbin:/usr/bin"
        return ["nsenter", f"--target={first_child(self._bus.pid)}", *_NAMESPACES, "/usr/bin/env", path, *argv]

    def _await(self, ready: Callable[[], bool], process: subprocess.Popen[str], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise FirewallError(f"{what} did not start\n{self._log.read_text(errors='replace')}")
            time.sleep(_PAUSE)
