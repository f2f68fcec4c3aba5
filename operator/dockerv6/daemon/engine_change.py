"""``dockerv6 doctor --fix``: what the doctor found, ended by an edit of daemon.json and a restart of the engine."""

import asyncio
import difflib
import os
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dockerv6.daemon import engine_process
from dockerv6.daemon.engine_process import EngineProcess, EngineProcessError
from dockerv6.daemon.engine_settings import VALIDATE_SINCE, SettingsSyntaxError, edited
from dockerv6.daemon.findings import HostCheck
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.model import EngineInfo
from dockerv6.dockerd.port import EngineError
from dockerv6.source.resource_files import create_file, replace_file

_PATIENCE = 60.0  # seconds until a restarted engine answers


@dataclass(frozen=True, slots=True)
class EngineChange:
    """A change of daemon.json, and what a restart of the engine means.

    Attributes:
        findings: which end with it.
        before: of the file; None: there is none.
        after: of the file; as before if a restart is enough.
        containers: how many run.
    """

    findings: tuple[HostCheck, ...]
    engine: EngineProcess
    info: EngineInfo
    before: bytes | None
    after: bytes | None
    containers: int

    @property
    def path(self) -> Path:
        """The file itself, where daemon.json is a symbolic link."""
        return Path(os.path.realpath(self.engine.config))

    def diff(self) -> tuple[str, ...]:
        """The change, as ``diff -u`` shows it; nothing if a restart is enough."""
        texts = ((content or b"").decode(errors="surrogateescape") for content in (self.before, self.after))
        before, after = (text.splitlines(keepends=True) for text in texts)
        name = "/dev/null" if self.before is None else str(self.engine.config)
        lines = difflib.unified_diff(before, after, name, str(self.engine.config))
        return tuple(
            part
            for line in lines
            for part in (line.rstrip("\r\n"), *(() if line.endswith("\n") else ("\\ No newline at end of file",)))
        )

    def refuse_restart(self) -> None:
        """Raise `EngineProcessError` if systemd can't restart the engine."""
        if not self.engine.is_restartable():
            raise EngineProcessError(
                f"systemd does not run the engine (process {self.engine.pid}): apply the change without"
                " --restart-engine, and restart the engine as it was started"
            )

    def apply(self) -> Path | None:
        """Check the new file by the engine's own program, keep the old one, and replace it.

        Gives the file that has the old content; None: there was no file, or nothing was written.

        Raises:
            EngineProcessError: the engine refuses the new file, or the file is another than the one of the diff.
            OSError: it can't be written.
        """
        if self.after is None or self.after == self.before:
            return None
        path = self.path
        if self.info.release >= VALIDATE_SINCE or self.info.release == (0, 0):
            with tempfile.TemporaryDirectory() as directory:
                candidate = Path(directory, "daemon.json")
                candidate.write_bytes(self.after)
                if refusal := self.engine.refusal(candidate):
                    raise EngineProcessError(f"the engine refuses the change, and nothing was written: {refusal}")
        if _content(path) != self.before:
            raise EngineProcessError(f"{path} was changed meanwhile, and was not written; run this again")
        if self.before is None:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            create_file(path, self.after)
            return None
        backup = path.with_name(f"{path.name}.dockerv6-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        backup.hardlink_to(path)  # what replaces the file is another one
        try:
            replace_file(path, self.after)
        except BaseException:
            backup.unlink()
            raise
        return backup

    def undo(self, backup: Path | None) -> None:
        """Make the file what it was before `apply`."""
        if self.after == self.before:
            return
        if backup is not None:
            backup.replace(self.path)
        elif self.before is None:
            self.path.unlink()

    def restart(self, settings: Settings, backup: Path | None) -> None:
        """Restart the engine and wait until it answers.

        Raises:
            EngineProcessError: it does not start. The file is what it was before, and the engine was started with it.
        """
        refusal = self.engine.restart()
        if not refusal:
            refusal = asyncio.run(_silence(settings))
        if not refusal:
            return
        self.undo(backup)
        again = self.engine.start_again() or asyncio.run(_silence(settings))
        state = f"does not start with it either: {again}" if again else "is running with it"
        raise EngineProcessError(
            f"the engine did not start ({refusal}). {self.engine.config} is what it was before, and the engine {state};"
            " its log has the reason"
        )


def propose(settings: Settings, checks: Iterable[HostCheck]) -> EngineChange | None:
    """What ends the findings that have a fix; None: none has.

    Raises:
        EngineProcessError: it can't be done from here.
        EngineError, DockerHostError: the engine does not answer.
        OSError: daemon.json can't be read.
    """
    findings = tuple(check for check in checks if check.fix is not None)
    return asyncio.run(_propose(settings, findings)) if findings else None


async def _propose(settings: Settings, findings: tuple[HostCheck, ...]) -> EngineChange:
    engine = DockerEngine(settings.docker_host)
    try:
        info = await engine.info()
        containers = len(await engine.containers())
    finally:
        await engine.close()
    process = engine_process.find(info, settings.docker_host)
    before = _content(process.config)
    changes = {key: value for finding in findings for key, value in (finding.fix or {}).items()}
    try:
        text = edited((before or b"").decode(errors="surrogateescape"), changes)
        after = text.encode(errors="surrogateescape") if changes else before
    except SettingsSyntaxError as error:
        raise EngineProcessError(f"{process.config}:{error}") from error
    return EngineChange(findings, process, info, before, after, containers)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


async def _silence(settings: Settings) -> str:
    """What the engine does instead of answering; "": it answers."""
    deadline = time.monotonic() + _PATIENCE
    error: EngineError | None = None
    while time.monotonic() < deadline:
        engine = DockerEngine(settings.docker_host)
        try:
            await engine.info()
        except EngineError as found:
            error = found
            await asyncio.sleep(0.5)
        else:
            return ""
        finally:
            with suppress(EngineError):
                await engine.close()
    return f"no response within {_PATIENCE:.0f} s: {error}"
