"""A real Docker Engine in its own network, mount and PID namespaces, run from a tree of Debian packages.

An engine's first process is the init of its PID namespace, so that killing it ends dockerd, containerd, the shims and
every container. The state of a running engine is in its directory, so that a later process can load it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from docker import APIClient

from tests.lab import packages
from tests.lab.namespace import Namespace, start
from tests.lab.process import first_child, marked_environment, run, wait_gone
from tests.lab.session import remove_cgroups
from tests.lab.settings import XTABLES_VARIANTS, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.lab.session import Session

IMAGE = "busybox:test"
BUS = "dbus.sock"
"""The name of the D-Bus socket in an engine's directory, for a host with firewalld; see `firewalls.HostFirewalls`."""

Binding: TypeAlias = int | str | tuple[str, int | str]
"""A port of the host, or an address and a port; 0 is a port that the engine chooses, "8000-8009" one of those."""
_ENTRY = Path(__file__).with_name("root.sh")
_SOCKET_PATH_LIMIT = 107
# the lock file of every iptables (libxtables' XT_LOCK_NAME)
_XTABLES_LOCK = Path("/run/xtables.lock")
# absolute paths, because a program beside the engine may have a PATH without them
_MOUNT, _UNSHARE = shutil.which("mount") or "mount", shutil.which("unshare") or "unshare"
# an engine that restores hundreds of networks answers after minutes
_CLIENT_TIMEOUT = 300


class EngineError(RuntimeError):
    """An engine did not start or is not running. The message ends with its log."""


class Engine:
    """One engine; `start` it, use it, `remove` it."""

    def __init__(self, session: Session, name: str, settings: Settings, namespace: Namespace) -> None:
        self.session = session
        self.name = name
        self.settings = settings
        self.namespace = namespace
        self.directory = session.directory / name
        self.was_killed = False
        self._process: subprocess.Popen[str] | None = None
        self._client: APIClient | None = None
        if len(str(self.socket)) > _SOCKET_PATH_LIMIT:
            raise EngineError(f"{self.socket}: longer than a socket's path may be; set DOCKERV6_LAB_DIR to a short one")

    @classmethod
    def create(cls, session: Session, settings: Settings, namespace: Namespace | None = None) -> Engine:
        """Create an engine in a new or an existing namespace. It is not started yet."""
        if settings.xtables not in XTABLES_VARIANTS:
            raise EngineError(f"xtables variant {settings.xtables!r}: one of {', '.join(XTABLES_VARIANTS)}")
        name = session.unique("e")
        engine = cls(session, name, settings, namespace or session.namespace("n"))
        for part in ("data", "upper", "work", "root"):
            (engine.directory / part).mkdir(parents=True)
        description = {"namespace": engine.namespace.name, **asdict(settings)}
        engine._description.write_text(json.dumps(description))
        # the target of a file mount must exist; any use of iptables on this machine creates it too
        _XTABLES_LOCK.touch(mode=0o600)
        engine.xtables_lock.touch(mode=0o600)
        return engine

    @classmethod
    def load(cls, session: Session, name: str) -> Engine:
        """Load an engine that another process created."""
        description = json.loads((session.directory / name / "engine.json").read_text())
        namespace = Namespace(session.id, description.pop("namespace"))
        description["arguments"] = tuple(description["arguments"])
        return cls(session, name, Settings(**description), namespace)

    @property
    def version(self) -> str:
        return self.settings.version

    @property
    def socket(self) -> Path:
        return self.directory / "docker.sock"

    @property
    def docker_host(self) -> str:
        return f"unix://{self.socket}"

    @property
    def netns(self) -> str:
        return self.namespace.name

    @property
    def log(self) -> Path:
        return self.directory / "dockerd.log"

    @property
    def xtables_lock(self) -> Path:
        """The lock file of the engine's iptables; inside it is /run/xtables.lock."""
        return self.directory / "xtables.lock"

    @property
    def _description(self) -> Path:
        return self.directory / "engine.json"

    @property
    def _pid_file(self) -> Path:
        return self.directory / "pid"

    @property
    def pid(self) -> int:
        """The engine's first process as seen from outside its PID namespace.

        Raises:
            EngineError: the engine is not running.
        """
        with suppress(FileNotFoundError, ProcessLookupError):
            pid = int(self._pid_file.read_text())
            # the identifier may have been reused; the arguments of the init contain the engine's directory
            if str(self.directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise EngineError(f"engine {self.name} is not running\n{self.log_tail()}")

    @property
    def alive(self) -> bool:
        try:
            return bool(self.pid)
        except EngineError:
            return False

    def start(self, timeout: float = 300.0) -> None:
        """Start dockerd and wait until its API answers.

        Raises:
            EngineError: it ended, or does not answer after `timeout` seconds.
        """
        if self.alive:
            raise EngineError(f"engine {self.name} is running")
        tree = packages.tree(self.version)
        config = self.directory / "daemon.json"
        config.write_text(json.dumps(dict(self.settings.config)))
        self.socket.unlink(missing_ok=True)
        dockerd = [
            *("--config-file", str(config), "--data-root", str(self.directory / "data")),
            *("--exec-root", "/run/docker", "--pidfile", "/run/docker.pid", "--host", self.docker_host),
            # its own parent, so that control groups of a killed engine can be identified and removed
            *("--cgroup-parent", f"/{self.name}", "--exec-opt", "native.cgroupdriver=cgroupfs"),
            *self.settings.arguments,
        ]
        entry = [str(_ENTRY), str(tree), str(self.directory), self.settings.xtables, *dockerd]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                self.namespace.enter(["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", *entry]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                # the terminal's interrupt is for the tests, which then stop the engine
                start_new_session=True,
                env=marked_environment(self.session.id),
            )
        self._await_api(timeout)

    def _await_api(self, timeout: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._reap()
                raise EngineError(f"engine {self.name} ended at its start\n{self.log_tail()}")
            if self._answers():
                self._pid_file.write_text(str(first_child(self._process.pid)))
                return
            time.sleep(0.02)
        self._process.kill()
        self._reap()
        raise EngineError(f"engine {self.name} didn't answer in {timeout} s\n{self.log_tail()}")

    def _answers(self) -> bool:
        try:
            with closing(_UnixConnection(self.socket, timeout=5.0)) as connection:
                connection.request("GET", "/_ping")
                return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            # dockerd opens its socket before it answers
            return False

    def kill(self) -> None:
        """Kill the engine and its containers, to simulate a power failure; the next `start` is a recovery."""
        self.was_killed = True
        self._end(signal.SIGKILL, 0.0)

    def stop(self, patience: float = 15.0) -> None:
        """Stop the engine; after `patience` seconds it is killed. Its files stay."""
        self._end(signal.SIGTERM, patience)

    def restart(self) -> None:
        """Stop the engine and start it again. Containers without a restart policy stay stopped."""
        self.stop()
        self.start()

    def _end(self, how: signal.Signals, patience: float) -> None:
        self._close_client()
        if self.alive:
            pid = self.pid
            with suppress(ProcessLookupError):
                os.kill(pid, how)
                if not wait_gone(pid, patience):
                    os.kill(pid, signal.SIGKILL)
            wait_gone(pid, 30.0)
        self._reap()
        remove_cgroups(self.name)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(30.0)
            self._process = None
        self._pid_file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Kill the engine and remove its files and its namespace."""
        self.kill()
        self.namespace.remove()
        shutil.rmtree(self.directory)

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines of dockerd's log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    def client(self) -> APIClient:
        """Return a client of the engine's API in the engine's version. It is closed when the engine ends."""
        if self._client is None:
            self._client = APIClient(base_url=self.docker_host, version="auto", timeout=_CLIENT_TIMEOUT)
        return self._client

    def _close_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def enter(self, argv: Sequence[str]) -> list[str]:
        """Return the argument vector that runs one of the tree's programs in all of the engine's namespaces."""
        path = f"PATH=/xtables/{self.settings.xtables}:/usr/sbin:/usr/bin:/sbin:/bin"
        host = f"DOCKER_HOST={self.docker_host}"
        namespaces = ("--mount", "--net", "--pid", "--root", "--wd")
        return ["nsenter", f"--target={self.pid}", *namespaces, "/usr/bin/env", path, host, *argv]

    def exec(
        self, *argv: str, check: bool = True, timeout: float = 120.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the tree's programs (its own iptables, `docker`, busybox) to its end; errors as `process.run`."""
        return run(self.enter(argv), check=check, timeout=timeout, stdin=stdin, env=marked_environment(self.session.id))

    @property
    def beside_in(self) -> tuple[Path, tuple[Path, Path]]:
        """Where programs beside the engine run: the network namespace, and what is mounted where; see `beside`."""
        return self.namespace.path, (self.xtables_lock, _XTABLES_LOCK)

    def beside(self, argv: Sequence[str]) -> list[str]:
        """Return the argument vector that runs a program of this machine on the engine's host.

        It runs in the engine's network namespace and, as on a real host, with the engine's xtables lock at
        /run/xtables.lock. The started process is replaced by the program and keeps its identifier.
        """
        _, (lock, place) = self.beside_in
        script = f"{_MOUNT} --bind '{lock}' {place} && exec \"$@\""
        return self.namespace.enter([_UNSHARE, "--mount", "/bin/sh", "-c", script, "sh", *argv])

    def netexec(
        self, *argv: str, check: bool = True, timeout: float = 120.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of this machine's programs in the engine's network namespace; errors as in `process.run`."""
        return self.namespace.exec(*argv, check=check, timeout=timeout, stdin=stdin)

    def docker(self, *argv: str, check: bool = True, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run the engine's own docker client to its end; errors as in `process.run`."""
        return self.exec("docker", *argv, check=check, timeout=timeout)

    def load_image(self, archive: Path) -> None:
        """Load an image from an archive in the format of `docker save`."""
        with archive.open("rb") as file:
            for line in self.client().load_image(file):  # type: ignore[no-untyped-call]
                if "error" in line:
                    raise EngineError(f"{archive}: {line['error']}")

    def run(
        self,
        name: str,
        network: str | None,
        *,
        image: str = IMAGE,
        command: Sequence[str] = ("sleep", "3600"),
        labels: Mapping[str, str] | None = None,
        ports: Mapping[str, Binding | list[Binding]] | None = None,
        expose: Sequence[str] = (),
        aliases: Sequence[str] = (),
        address: str | None = None,
        more_networks: Sequence[str] = (),
        host_config: Mapping[str, object] | None = None,
    ) -> str:
        """Create and start a container with its name as host name; return its identifier.

        `network` is a network's name, or None for the engine's default; `more_networks` are attached before the start.
        `ports` maps `80/tcp` to one or several bindings (see `Binding`), as `-p` does. Ports in `expose` are published
        with `host_config={"PublishAllPorts": True}`, as `-P` does. `address` is a fixed IPv6 address. `host_config` is
        added to the API's HostConfig. Errors are those of the docker SDK.
        """
        bindings = {port: _bindings(target) for port, target in (ports or {}).items()}
        host: dict[str, Any] = {"PortBindings": bindings, **(host_config or {})}
        endpoint: dict[str, Any] = {"Aliases": list(aliases)}
        if address is not None:
            endpoint["IPAMConfig"] = {"IPv6Address": address}
        networking: dict[str, Any] = {}
        if network is not None:
            host.setdefault("NetworkMode", network)
            networking = {"EndpointsConfig": {network: endpoint}}
        client = self.client()
        body = {
            "Image": image,
            "Cmd": list(command),
            "Labels": dict(labels or {}),
            "Hostname": name,
            "ExposedPorts": {port: {} for port in (*bindings, *expose)},
            "HostConfig": host,
            "NetworkingConfig": networking,
        }
        container = str(client.create_container_from_config(body, name=name)["Id"])  # type: ignore[no-untyped-call]
        for another in more_networks:
            client.connect_container_to_network(container, another)
        client.start(container)
        return container

    def container_exec(
        self, container: str, *argv: str, check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of a container's image inside the container; errors as in `process.run`."""
        return self.docker("exec", container, *argv, check=check, timeout=timeout)

    def container_netns(self, container: str) -> str:
        """Return the path of the container's network namespace, valid outside the engine.

        A container's process identifier is valid only in the engine's PID namespace.
        """
        key = self.client().inspect_container(container)["NetworkSettings"]["SandboxKey"]
        return f"/proc/{self.pid}/root{key}"

    def container_netns_exec(
        self, container: str, *argv: str, check: bool = True, timeout: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run one of this machine's programs in a container's network namespace; errors as in `process.run`."""
        argv = ("nsenter", f"--net={self.container_netns(container)}", *argv)
        return run(argv, check=check, timeout=timeout, env=marked_environment(self.session.id))

    def container_netns_popen(self, container: str, argv: Sequence[str]) -> subprocess.Popen[str]:
        """Start one of this machine's programs in a container's network namespace, with pipes."""
        return start(self.session.id, ["nsenter", f"--net={self.container_netns(container)}", *argv])

    def host_port(self, container: str, port: str) -> int:
        """Return the first port of the host that a container's `80/tcp` is published on."""
        bound = self.client().inspect_container(container)["NetworkSettings"]["Ports"][port]
        return int(bound[0]["HostPort"])

    def container_addresses(self, container: str, network: str) -> dict[str, str]:
        """Return a container's addresses on a network: `4`, `6` and `mac`; empty if it has none."""
        endpoint = self.client().inspect_container(container)["NetworkSettings"]["Networks"][network]
        return {"4": endpoint["IPAddress"], "6": endpoint["GlobalIPv6Address"], "mac": endpoint["MacAddress"]}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: os.PathLike[str], timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _bindings(targets: Binding | list[Binding]) -> list[dict[str, str]]:
    several = targets if isinstance(targets, list) else [targets]
    pairs = [("", target) if isinstance(target, int | str) else target for target in several]
    return [{"HostIp": address, "HostPort": str(port or "")} for address, port in pairs]
