"""A host with systemd: the operator as a service, with every restriction of its unit, beside an engine of the lab.

systemd is the first process of PID, mount, control group, IPC and UTS namespaces in the engine's network namespace. Its
root is an overlay of directories that stay unchanged. It has no unit except the operator's and empty targets, so that
it changes nothing else. What is enabled in the root starts with multi-user.target, which a test starts.
"""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.operator import Operator, OperatorError
from tests.lab.process import end, first_child, run, spawn, wait_gone
from tests.lab.session import CGROUPS, remove_cgroups

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from tests.lab.engine import Engine

SERVICE = "dockerv6.service"
_ENTRY = Path(__file__).with_name("systemd.sh")
_NAMESPACES = ("mount", "pid", "cgroup", "ipc", "uts")
# enter control groups, then become a program
_IN_GROUPS = 'for group in $1; do echo $$ >"$group/cgroup.procs"; done; shift; exec "$@"'
_BOOT_PATIENCE = 60.0
# what units depend on without naming it (systemd.service(5), implicit and default dependencies)
_TARGETS = ("lab", "sysinit", "basic", "shutdown", "multi-user")


class ServiceOperator(Operator):
    """The operator as the service of a unit file. `start` boots systemd if necessary."""

    def __init__(self, engine: Engine, directory: Path, root: Sequence[Path], unit: Path) -> None:
        """Create the host, not booted. `root`: the layers of its root directory, the uppermost first."""
        super().__init__(engine, directory)
        self._root = root
        self._host = engine.session.directory / engine.session.unique("h")
        for name in ("root", "upper", "work", "config", "log", "units"):
            (self._host / name).mkdir(parents=True)
        self.config_dir = self._host / "config"
        self.log = self._host / "log" / "operator.log"
        self._units = self._host / "units"
        shutil.copy(unit, self._units / SERVICE)
        for target in _TARGETS:
            (self._units / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        # there is no journal
        self.override({"StandardOutput": "append:/var/log/lab/operator.log", "StandardError": "inherit"}, name="log")

    def override(self, settings: Mapping[str, str], name: str = "test") -> None:
        """Add settings to the service, as `systemctl edit` does. They apply from the next start."""
        directory = self._units / f"{SERVICE}.d"
        directory.mkdir(exist_ok=True)
        lines = ["[Service]", *(f"{key}={value}" for key, value in settings.items())]
        (directory / f"{name}.conf").write_text("\n".join([*lines, ""]))

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start the service and wait until it has notified systemd; a failed start is a CommandFailedError."""
        if arguments or environment:
            raise OperatorError("the unit determines arguments and environment")
        if self._process is None:
            self.boot()
        self.systemctl("daemon-reload")
        self.systemctl("start", SERVICE)

    def boot(self) -> None:
        """Boot systemd, without starting the service."""
        groups = [hierarchy / self._host.name for hierarchy in _hierarchies()]
        for group in groups:
            group.mkdir()
        lower = ":".join(map(str, self._root))
        entry = [_ENTRY, lower, self._host, self.engine.directory, *(group.parent for group in groups)]
        unshare = ["unshare", *(f"--{each}" for each in _NAMESPACES), "--fork", "--kill-child=KILL", "/bin/sh", *entry]
        argv = ["/bin/sh", "-euc", _IN_GROUPS, "sh", " ".join(map(str, groups)), *unshare]
        self._process = spawn(
            self.engine.namespace.enter([str(each) for each in argv]),
            self._host / "log" / "boot.log",
            self.engine.session.id,
        )
        self._wait_booted()

    def _wait_booted(self) -> None:
        deadline = time.monotonic() + _BOOT_PATIENCE
        while not self._is_booted():
            if not self.running or time.monotonic() > deadline:
                raise OperatorError(f"systemd did not start\n{(self._host / 'log' / 'boot.log').read_text()}")
            time.sleep(0.05)

    def _is_booted(self) -> bool:
        # the first process is in this machine's root directory at first
        ready = f"test -e /etc/systemd/lab/{SERVICE} && systemctl list-units"
        try:
            return self.exec("/bin/sh", "-c", ready, check=False).returncode == 0
        except LookupError:
            return False

    @property
    def _init(self) -> int:
        """The process identifier of systemd."""
        if self._process is None:
            raise OperatorError("the host is not booted")
        return first_child(self._process.pid)

    def exec(self, *argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program inside the host; options and errors as in `process.run`."""
        namespaces = ("--mount", "--pid", "--net", "--root", "--wd")
        path = "PATH=/opt/dockerv6/bin:/usr/sbin:/usr/bin"
        command = ["nsenter", f"--target={self._init}", *namespaces, "/usr/bin/env", "-i", path, "NO_COLOR=1", *argv]
        return run(command, **options)

    def path(self, name: str) -> Path:
        """The path of one of the booted host's files, valid outside the host."""
        return Path(f"/proc/{self._init}/root") / name.lstrip("/")

    def copy(self, source: Path, name: str) -> None:
        """Copy a file of this machine into the booted host."""
        shutil.copy(source, self.path(name))

    def systemctl(self, *arguments: str) -> str:
        """Run `systemctl`; return its output. Errors as in `process.run`."""
        return self.exec("systemctl", "--no-pager", *arguments).stdout

    def properties(self, *names: str) -> dict[str, str]:
        """The service's properties (systemctl show)."""
        shown = self.systemctl("show", *(f"--property={name}" for name in names), SERVICE)
        return dict(line.split("=", 1) for line in shown.splitlines())

    @property
    def proc(self) -> Path:
        """The daemon's directory in /proc, valid outside the host."""
        return Path(f"/proc/{self._init}/root/proc/{self.properties('MainPID')['MainPID']}")

    def limits(self) -> dict[str, str]:
        """The limits of the service in the kernel: number of tasks, and memory in bytes."""
        names = {"pids": ("pids.max",), "memory": ("memory.max", "memory.limit_in_bytes")}
        groups = [each / self._host.name / "system.slice" / SERVICE for each in _hierarchies()]
        found = {limit: [g / n for g in groups for n in names[limit] if (g / n).exists()] for limit in names}
        return {limit: paths[0].read_text().strip() for limit, paths in found.items()}

    def cli(
        self, *arguments: str, check: bool = True, timeout: float = 120.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `dockerv6 ARGUMENTS` on the host as root, without the restrictions of the service."""
        return self.exec("dockerv6", *arguments, check=check, timeout=timeout, stdin=stdin)

    def read(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, where the state is; errors as in `process.run`."""
        return self.cli(*arguments, check=check)

    def kill(self) -> None:
        """Kill the daemon; systemd starts it again."""
        self.systemctl("kill", "--signal=KILL", SERVICE)

    def stop(self, patience: float = 45.0) -> int:
        """Stop the service; return the daemon's exit status. The unit determines the patience."""
        del patience
        self.systemctl("stop", SERVICE)
        return int(self.properties("ExecMainStatus")["ExecMainStatus"])

    def close(self) -> None:
        """End the host and all that runs on it."""
        if self._process is not None:
            init = self._init if self.running else None
            end(self._process, first=signal.SIGKILL)
            self._process = None
            if init is not None:
                wait_gone(init, _BOOT_PATIENCE)  # all other processes of the namespace end first
            remove_cgroups(self._host.name)


def _hierarchies() -> list[Path]:
    """Where this machine has control groups: one hierarchy in version 2, one for each controller in version 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    # a group of cpuset takes no process before it has processors and memory nodes
    found = sorted(path.parent for path in CGROUPS.glob("*/cgroup.procs") if path.parent.name != "cpuset")
    return [path for path in found if not path.is_symlink()]
