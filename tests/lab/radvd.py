"""Router advertisements from a real daemon: Debian's radvd on one interface of a router's namespace.

It uses the intervals of Mobile IPv6 (RFC 6275, 7.5), which it allows if it also advertises them. So a host waits for an
advertisement for half a second at most.
"""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab import packages
from tests.lab.process import end, marked_environment, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.namespace import Namespace
    from tests.lab.session import Session

ROUTER_LIFETIME = 1800
_PATIENCE = 30.0
_READY = "syntax ok"


class RadvdError(RuntimeError):
    """radvd is not in the state that a call needs. The message ends with its log."""


@dataclass(frozen=True, slots=True)
class Advertised:
    """A prefix for addresses (RFC 4861, 4.6.2), on-link and autonomous. Lifetimes are in seconds.

    A host ignores a valid lifetime that is under two hours and shorter than the remaining one (RFC 4862, 5.5.3e):
    advertise a prefix that must expire soon with a short lifetime from the beginning. `preferred` 0 deprecates it at
    once.
    """

    prefix: str
    preferred: int = 1800
    valid: int = 3600


def program() -> Path:
    """Return Debian's radvd, downloaded on first use."""
    return packages.package("radvd", "usr/sbin/radvd")


class Radvd:
    """One daemon. `advertise` starts it or changes its prefixes; `stop` and `kill` end it."""

    def __init__(self, session: Session, namespace: Namespace, interface: str) -> None:
        self._session = session
        self._namespace = namespace
        self._interface = interface
        self._process: subprocess.Popen[str] | None = None
        self._directory = session.directory / session.unique("radvd")
        self._directory.mkdir(mode=0o755)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def advertise(self, *prefixes: Advertised, router_lifetime: int = ROUTER_LIFETIME) -> None:
        """Advertise exactly these prefixes from now on, and this router for `router_lifetime` seconds (0: no router).

        Raises:
            RadvdError: radvd ended.
            CommandFailedError: it refuses the configuration.
        """
        self._configure(prefixes, router_lifetime)
        if self.running:
            assert self._process is not None
            self._process.send_signal(signal.SIGHUP)
        else:
            self._start()

    def stop(self) -> None:
        """Stop it; its last advertisement says that it is no default router."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it, to simulate a power failure: advertised prefixes last for their lifetime."""
        self._end(signal.SIGKILL)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of its log."""
        try:
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"

    @property
    def _log(self) -> Path:
        return self._directory / "log"

    @property
    def _config(self) -> Path:
        return self._directory / "radvd.conf"

    def _configure(self, prefixes: tuple[Advertised, ...], router_lifetime: int) -> None:
        prefixes_text = "\n".join(
            f"  prefix {each.prefix} {{ AdvPreferredLifetime {each.preferred}; AdvValidLifetime {each.valid}; }};"
            for each in prefixes
        )
        unfinished = self._config.with_suffix(".unfinished")
        unfinished.write_text(
            f"interface {self._interface} {{\n"
            "  AdvSendAdvert on;\n"
            "  AdvIntervalOpt on; MinRtrAdvInterval 0.3; MaxRtrAdvInterval 0.5; MinDelayBetweenRAs 0.03;\n"
            f"  AdvDefaultLifetime {router_lifetime};\n"
            f"{prefixes_text}\n}};\n"
        )
        # radvd refuses files that others may write
        unfinished.chmod(0o644)
        self._run("--configtest", str(unfinished))
        unfinished.rename(self._config)

    def _run(self, *arguments: str) -> None:
        run(self._argv(*arguments), env=marked_environment(self._session.id))

    def _argv(self, *arguments: str) -> list[str]:
        *options, config = arguments
        return self._namespace.enter([str(program()), *options, "--config", config, "--logmethod", "stderr"])

    def _start(self) -> None:
        argv = [*self._argv("--nodaemon", "--debug", "1", str(self._config)), "--pidfile", str(self._directory / "pid")]
        before = self._log.read_text() if self._log.exists() else ""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                env=marked_environment(self._session.id),
            )
        deadline = time.monotonic() + _PATIENCE
        while _READY not in self._log.read_text().removeprefix(before):
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise RadvdError(f"radvd didn't start\n{self.log_tail()}")
            time.sleep(0.01)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            end(self._process, first=how)
            self._process = None
