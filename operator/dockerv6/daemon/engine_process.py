"""The running engine as a process of this host: its flags, its settings at the next start, its restart by systemd."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dockerv6.daemon.engine_settings import EngineSettings
from dockerv6.dockerd import address
from dockerv6.dockerd.model import EngineInfo
from dockerv6.lib.processes import open_files

_DEFAULT = Path("/etc/docker/daemon.json")
_CONFIG = "--config-file"
_PROC = Path("/proc")
_TIMEOUT, _RESTART_TIMEOUT = 30, 300  # seconds
_LISTENING, _STATE, _INODE, _PATH = "01", 5, 6, 7  # columns of /proc/net/unix
# systemd would take `dockerd --validate` for the service
_OF_SYSTEMD = ("NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_")


class EngineProcessError(Exception):
    """The engine's settings can't be seen or changed from here. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """A dockerd that sees the same files as this process.

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

    def refusal(self, config: Path) -> str | None:
        """The error of ``dockerd --validate`` for a file with the flags of the running engine.

        "": there is none; None: it can't validate (before 23.0).

        Raises:
            EngineProcessError: the program can't be run.
        """
        done = _run([str(self.program), *self.arguments, "--validate", _CONFIG, str(config)], self.environment)
        if not done.returncode:
            return ""
        output = (done.stderr or done.stdout).strip()
        if "unknown flag: --validate" in output:
            return None
        return output.rpartition("\n")[2].replace(str(config), str(self.config)) or "its program does not accept it"

    def settings(self, release: tuple[int, int]) -> EngineSettings:
        """The settings of its next start. Raises `OSError`, and `EngineProcessError` of `refusal`."""
        try:
            content = self.config.read_bytes()
        except FileNotFoundError:
            return EngineSettings(self.config, None, self.arguments, release)
        return EngineSettings(self.config, content, self.arguments, release, self.refusal(self.config))

    def is_restartable(self) -> bool:
        """Whether a restart of the unit restarts the engine: it may also be a child of the unit's main process."""
        if not self.unit:
            return False
        shown = _run(["systemctl", "show", "--property=MainPID", self.unit]).stdout
        return shown.strip() == f"MainPID={self.pid}"

    def restart(self) -> str:
        """Restart its unit; earlier failures do not count. Returns the error of systemd; "": it is running."""
        try:
            _run(["systemctl", "reset-failed", self.unit])
            done = _run(["systemctl", "restart", self.unit], timeout=_RESTART_TIMEOUT)
        except EngineProcessError as error:
            return str(error)
        return (done.stderr.strip() or "systemd gives no reason") if done.returncode else ""


def find(info: EngineInfo, docker_host: str | None) -> EngineProcess:
    """The process of the engine.

    Args:
        info: what the engine says about itself.
        docker_host: its address; None: from the environment.

    Raises:
        EngineProcessError: no such process runs on this host, or its files can't be seen from here.
        DockerHostError: the address is unusable.
    """
    if info.rootless or info.podman:
        raise EngineProcessError("a rootless engine and Podman are not supported, and their settings are not changed")
    socket = address.resolve(docker_host, os.environ).socket
    if socket is None:
        raise EngineProcessError("the engine is reached over TCP: run this on its host, with DOCKER_HOST unset")
    found = sorted(_with_socket(os.path.realpath(socket)), key=lambda each: not _is_shared(each, Path("/")))
    if not found:
        where = "Docker Desktop's is in a virtual machine: Settings > Docker Engine has its daemon.json"
        if info.name != "docker-desktop":
            where = "run this as root, on the host and not in a container"
        raise EngineProcessError(f"no dockerd that listens on {socket} can be seen from here: {where}")
    directory = found[0]
    program = Path(str((directory / "exe").readlink()).removesuffix(" (deleted)"))
    if str(program).startswith("/snap/"):
        raise EngineProcessError(
            "the engine is a snap, whose daemon.json is in /var/snap/docker/current/config: edit it, and run"
            " `snap restart docker`"
        )
    _, *arguments = (directory / "cmdline").read_bytes().decode(errors="surrogateescape").rstrip("\0").split("\0")
    config, others = _split(arguments)
    config = (directory / "cwd").readlink() / config
    if not all(_is_shared(directory, path) for path in (Path("/"), program, config)):
        raise EngineProcessError("the engine sees other files than this process: run this on the host, where it runs")
    return EngineProcess(int(directory.name), program, others, _environment(directory), config, _unit(directory))


def _is_shared(directory: Path, path: Path) -> bool:
    """Whether a path is the same file for a process and here; its directory, if it does not exist.

    A process with the same root directory may have a mount namespace of its own, with other files (BindPaths=).
    """
    here = os.path.realpath(next(each for each in (path, *path.parents) if each.exists()))
    with suppress(FileNotFoundError):
        return Path(f"{directory}/root{here}").samefile(here)
    return False


def _with_socket(socket: str) -> Iterator[Path]:
    """The directories in /proc of root's processes named dockerd that listen on the socket with this path.

    Its program is run, so that another user's process is none. A container on the host's network may have one, too.
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
            ours = status.startswith(b"Name:\tdockerd\n") and b"\nUid:\t0\t0\t" in status
            if ours and not links.isdisjoint(open_files(directory)):
                yield directory


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


def _run(
    command: list[str], environment: Mapping[str, str] = os.environ, timeout: float = _TIMEOUT
) -> subprocess.CompletedProcess[str]:
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
    except subprocess.TimeoutExpired:  # flags may have passwords
        raise EngineProcessError(f"{command[0]} did not end within {timeout:.0f} s") from None
