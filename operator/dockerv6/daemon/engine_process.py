"""The running engine as a process of this host: how it was started, what it reads next, and its restart by systemd."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dockerv6.daemon.engine_settings import VALIDATE_SINCE, EngineSettings
from dockerv6.dockerd import address
from dockerv6.dockerd.model import EngineInfo

_DEFAULT = Path("/etc/docker/daemon.json")
_CONFIG = "--config-file"
_PROC = Path("/proc")
_VALIDATE_TIMEOUT, _RESTART_TIMEOUT = 30, 300  # seconds
_LISTENING, _STATE, _INODE, _PATH = "01", 5, 6, 7  # columns of /proc/net/unix
# systemd would take `dockerd --validate` for the service
_OF_SYSTEMD = ("NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_")


class EngineProcessError(Exception):
    """The engine's settings can't be seen or changed from here. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """A dockerd that has the same root directory as this process.

    Attributes:
        program: the file that the next start runs.
        arguments: without the program's name and without ``--config-file``.
        environment: its own.
        config: the path of daemon.json, whether it exists or not.
        unit: of systemd, such as "docker.service"; "": systemd does not run it.
    """

    pid: int
    program: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    config: Path
    unit: str

    def refusal(self, config: Path) -> str:
        """What ``dockerd --validate`` says against a file with the flags of the running engine; "": nothing.

        Raises:
            EngineProcessError: it can't be run.
        """
        command = [str(self.program), *self.arguments, "--validate", _CONFIG, str(config)]
        done = _run(command, _VALIDATE_TIMEOUT, self.environment)
        said = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        return (
            said.replace(str(config), str(self.config)) or "its program does not accept it" if done.returncode else ""
        )

    def settings(self, release: tuple[int, int]) -> EngineSettings:
        """What it starts with the next time. Raises `OSError`, and `EngineProcessError` of `refusal`."""
        try:
            content = self.config.read_bytes()
        except FileNotFoundError:
            return EngineSettings(self.config, None, self.arguments, release)
        asked = release >= VALIDATE_SINCE or release == (0, 0)
        return EngineSettings(self.config, content, self.arguments, release, self.refusal(self.config) if asked else "")

    def is_restartable(self) -> bool:
        """Whether a restart of the unit restarts the engine: it may also be a child of the unit's main process."""
        if not self.unit:
            return False
        shown = _run(["systemctl", "show", "--property=MainPID", self.unit], _RESTART_TIMEOUT, os.environ).stdout
        return shown.strip() == f"MainPID={self.pid}"

    def restart(self) -> str:
        """Restart its unit. Gives what systemd says against it; "": it is running."""
        try:
            done = _run(["systemctl", "restart", self.unit], _RESTART_TIMEOUT, os.environ)
        except EngineProcessError as error:
            return str(error)
        return (done.stderr.strip() or "systemd gives no reason") if done.returncode else ""

    def start_again(self) -> str:
        """Start its unit after failed starts, which systemd counts. Gives what systemd says against it."""
        _run(["systemctl", "reset-failed", self.unit], _RESTART_TIMEOUT, os.environ)
        return self.restart()


def find(info: EngineInfo, docker_host: str | None) -> EngineProcess:
    """The process of the engine.

    Args:
        info: what the engine says about itself.
        docker_host: its address; None: from the environment.

    Raises:
        EngineProcessError: it is none of this host, or its files are not those that are seen from here.
        DockerHostError: the address is unusable.
    """
    if info.rootless or info.podman:
        raise EngineProcessError("a rootless engine and Podman are not supported, and their settings are not changed")
    socket = address.resolve(docker_host, os.environ).socket
    if socket is None:
        raise EngineProcessError("the engine is reached over TCP: run this on its host, with DOCKER_HOST unset")
    directory = next(_with_socket(os.path.realpath(socket)), None)
    if directory is None:
        where = "Docker Desktop's is in a virtual machine: Settings > Docker Engine has its daemon.json"
        if info.name != "docker-desktop":
            where = "run this as root, on the host and not in a container"
        raise EngineProcessError(f"no dockerd that listens on {socket} can be seen from here: {where}")
    program = Path(str((directory / "exe").readlink()).removesuffix(" (deleted)"))
    if str(program).startswith("/snap/"):
        raise EngineProcessError(
            "the engine is a snap, whose daemon.json is in /var/snap/docker/current/config: edit it, and run"
            " `snap restart docker`"
        )
    if not os.path.samestat(os.stat(directory / "root"), os.stat("/")):  # noqa: PTH116 - of the link's target
        raise EngineProcessError("the engine has another root directory: run this on the host and not in a container")
    _, *arguments = (directory / "cmdline").read_bytes().decode(errors="surrogateescape").rstrip("\0").split("\0")
    config, others = _split(arguments)
    return EngineProcess(
        int(directory.name),
        program,
        others,
        _environment(directory),
        (directory / "cwd").readlink() / config,
        _unit(directory),
    )


def _with_socket(socket: str) -> Iterator[Path]:
    """The directories in /proc of processes of root that are called dockerd and have the socket with this path.

    Its program is run, so that another user's process is none.
    """
    columns = (line.split(maxsplit=_PATH) for line in (_PROC / "net/unix").read_text(errors="replace").splitlines())
    links = {
        f"socket:[{found[_INODE]}]"
        for found in columns
        if len(found) > _PATH and found[_STATE] == _LISTENING and os.path.realpath(found[_PATH]) == socket
    }
    for directory in _PROC.iterdir():
        if not directory.name.isdigit():
            continue
        with suppress(OSError):  # it has ended, or is not ours to see
            status = (directory / "status").read_bytes()  # proc_pid_status(5)
            if status.startswith(b"Name:\tdockerd\n") and b"\nUid:\t0\t0\t" in status:
                yield from (directory for each in (directory / "fd").iterdir() if str(each.readlink()) in links)


def _split(arguments: list[str]) -> tuple[Path, tuple[str, ...]]:
    """The path of daemon.json, and the other arguments."""
    config, others, rest = _DEFAULT, [], iter(arguments)
    for each in rest:
        if each == _CONFIG:
            config = Path(next(rest, str(_DEFAULT)))
        elif each.startswith(f"{_CONFIG}="):
            config = Path(each.partition("=")[2])
        else:
            others.append(each)
    return config, tuple(others)


def _environment(directory: Path) -> dict[str, str]:
    pairs = (directory / "environ").read_bytes().decode(errors="surrogateescape").split("\0")
    found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    return {name: value for name, value in found.items() if not name.startswith(_OF_SYSTEMD)}


def _unit(directory: Path) -> str:
    """The unit, by the control group that systemd made for it."""
    lines = (directory / "cgroup").read_text(errors="replace").splitlines()
    names = {line.rpartition("/")[2] for line in lines if line.split(":")[1] in ("", "name=systemd")}
    return next((name for name in sorted(names) if name.endswith(".service")), "")


def _run(command: list[str], timeout: float, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            cwd="/",
            env=dict(environment),
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise EngineProcessError(f"{command[0]} can't be started: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise EngineProcessError(f"{' '.join(command)} did not end within {timeout:.0f} s") from None
