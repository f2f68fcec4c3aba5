"""Run `dockerv6` as on a user's machine: a separate process in the network namespace of the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from dockerv6.cli.main import main
from tests.lab.namespace import start
from tests.lab.process import MARK, checked, end, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.lab.engine import Engine
    from tests.lab.warm import Copy, WarmProgram

PROGRAM = str(Path(sys.executable).with_name("dockerv6"))
_STOP_PATIENCE = 45.0


class OperatorError(RuntimeError):
    """The operator is not in the state that a call needs. The message ends with its log."""


class Operator:
    """One installation: a configuration, a state and a run directory, the daemon, and the command line."""

    def __init__(self, engine: Engine, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self.engine = engine
        self.config_dir = directory / "config"
        self.state_dir = directory / "state"
        # not below pytest's directories, because the paths of sockets must be short
        self.run_dir = engine.session.directory / engine.session.unique("o")
        self.log = directory / "operator.log"
        self.environment = dict(environment or {})
        self.launcher: Sequence[str] = ()
        """Starts the daemon and the command line, for example in another mount namespace; must be replaced by them."""
        self._process: subprocess.Popen[str] | Copy | None = None
        for path in (self.config_dir, self.state_dir, self.run_dir):
            path.mkdir(parents=True, exist_ok=True)

    def _environment(self) -> dict[str, str]:
        # a developer's own settings must not affect a test
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER")}
        ours = {
            "DOCKER_HOST": self.engine.docker_host,
            "DOCKERV6_CONFIG_DIR": str(self.config_dir),
            "DOCKERV6_STATE_DIR": str(self.state_dir),
            "DOCKERV6_RUN_DIR": str(self.run_dir),
            "NO_COLOR": "1",
            MARK: self.engine.session.id,
        }
        return {**inherited, **ours, **self.environment}

    def _beside(self, *arguments: str) -> list[str]:
        return [*self.launcher, *self.engine.beside([PROGRAM, *arguments])]

    def _warm(self, environment: Mapping[str, str]) -> WarmProgram | None:
        """What starts the program faster than its execution; None where a copy would differ from the program.

        Variables such as PATH and PYTHONPATH decide what the program imports.
        """
        ours = all(name.startswith("DOCKER") for name in (*self.environment, *environment))
        return self.engine.session.warm if ours and not self.launcher else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The daemon's process identifier. The program that enters the namespaces replaces itself by the daemon."""
        if self._process is None or not self.running:
            raise OperatorError(f"the operator is not running\n{self.log_tail()}")
        return self._process.pid

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start `dockerv6 run` in the background; `wait_ready` waits for its results."""
        if self.running:
            raise OperatorError("the operator is running")
        env = {**self._environment(), **(environment or {})}
        with self.log.open("a") as log, Path(os.devnull).open() as nothing:
            if warm := self._warm(environment or {}):
                self._process = warm.start([PROGRAM, "run", *arguments], env, *self.engine.beside_in, nothing, log, log)
                return
            self._process = subprocess.Popen(
                self._beside("run", *arguments),
                stdin=nothing,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
                env=env,
            )

    def stop(self, patience: float = _STOP_PATIENCE) -> int:
        """Stop the daemon with TERM and return its exit status; -9 if it was killed after `patience` seconds."""
        return self._end(signal.SIGTERM, patience)

    def kill(self) -> None:
        """Kill the daemon, to simulate a crash."""
        self._end(signal.SIGKILL, _STOP_PATIENCE)

    def close(self) -> None:
        """Stop the daemon if it is running; for the end of a test."""
        if self._process is not None:
            self._end(signal.SIGTERM, _STOP_PATIENCE)

    def _end(self, how: signal.Signals, patience: float) -> int:
        if self._process is None:
            raise OperatorError("the operator was not started")
        status = end(self._process, first=how, patience=patience)
        self._process = None
        return status

    def cli(
        self, *arguments: str, check: bool = True, timeout: float = 120.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `dockerv6 ARGUMENTS` to its end; errors as in `process.run`."""
        env = self._environment()
        if warm := self._warm({}):
            argv = [PROGRAM, *arguments]
            completed = warm.run(argv, env, *self.engine.beside_in, stdin=stdin, timeout=timeout)
            return checked(completed) if check else completed
        return run(self._beside(*arguments), check=check, timeout=timeout, env=env, stdin=stdin)

    def read(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command that only reads the state, such as `get` and `wait`, to its end in this process.

        Tests ask for the state all the time, and most of what a process costs is the start of Python. A test of the
        command itself uses `cli`. Errors as in `process.run`.
        """
        if self.launcher:  # only there is the state directory what the daemon sees
            return self.cli(*arguments, check=check)
        argv = [*arguments, "--state-dir", str(self.state_dir)]
        output, errors = StringIO(), StringIO()
        with redirect_stdout(output), redirect_stderr(errors):
            try:
                main.main(argv, prog_name="dockerv6")
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 0
        completed = subprocess.CompletedProcess(["dockerv6", *argv], status, output.getvalue(), errors.getvalue())
        return checked(completed) if check else completed

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `dockerv6 ARGUMENTS` with pipes, for commands that watch."""
        return start(self.engine.session.id, self._beside(*arguments), self._environment())

    def apply_yaml(self, name: str, text: str) -> Path:
        """Write a file into the configuration directory atomically."""
        path = self.config_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.tmp")
        unfinished.write_text(text)
        unfinished.chmod(0o644)
        unfinished.rename(path)
        return path

    def remove_yaml(self, name: str) -> None:
        """Delete a file of the configuration directory."""
        (self.config_dir / name).unlink()

    def wait_ready(self, resource: str, *, condition: str = "Ready", timeout: float = 60.0) -> None:
        """Wait until a resource, `KIND/NAME`, has a condition, with `dockerv6 wait`.

        Raises:
            CommandFailedError: it does not have it after `timeout` seconds.
        """
        self.read("wait", resource, f"--for=condition={condition}", f"--timeout={timeout:g}s")

    def wait_deleted(self, resource: str, *, timeout: float = 60.0) -> None:
        """Wait until a resource, `KIND/NAME`, no longer exists; errors as in `wait_ready`."""
        self.read("wait", resource, "--for=delete", f"--timeout={timeout:g}s")

    def log_tail(self, lines: int = 80) -> str:
        """Return the last lines of the daemon's log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"
