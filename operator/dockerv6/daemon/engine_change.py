"""``dockerv6 doctor --fix``: solve findings by an edit of daemon.json and a restart of the engine."""

import asyncio
import difflib
import io
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dockerv6.daemon import engine_process
from dockerv6.daemon.engine_process import EngineProcess, EngineProcessError
from dockerv6.daemon.engine_settings import SettingsSyntaxError, edited
from dockerv6.daemon.findings import FindingId, HostCheck
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.client import DockerEngine
from dockerv6.dockerd.model import EngineInfo
from dockerv6.dockerd.port import EngineError
from dockerv6.source.resource_files import create_file, replace_file

_PATIENCE = 60.0  # seconds until a restarted engine answers


@dataclass(frozen=True, slots=True)
class EngineChange:
    """A change of daemon.json, and what is needed to restart the engine.

    Attributes:
        findings: those that the change solves.
        before: the file's content; None: there is no file.
        after: the new content; the same as before if a restart is enough.
        containers: the number of running containers.
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
        contents = (io.BytesIO(content or b"") for content in (self.before, self.after))
        before, after = ([line.decode(errors="surrogateescape") for line in content] for content in contents)
        name = "/dev/null" if self.before is None else str(self.engine.config)
        lines = difflib.unified_diff(before, after, name, str(self.engine.config))
        return tuple(
            part
            for line in lines
            for part in (line.rstrip("\r\n"), *(() if line.endswith("\n") else ("\\ No newline at end of file",)))
        )

    def check(self, *, restart: bool) -> None:
        """Have the new file checked by the engine's own program, and see whether systemd can restart the engine.

        Raises:
            EngineProcessError: the engine refuses the new file, or systemd does not run it.
        """
        if restart and not self.engine.is_restartable():
            first = "" if self.after == self.before else "apply the change without --restart-engine, and "
            raise EngineProcessError(
                f"systemd does not run the engine (process {self.engine.pid}): {first}restart the engine as it was"
                " started"
            )
        if self.after is None or self.after == self.before:
            return
        with tempfile.TemporaryDirectory() as directory:
            candidate = Path(directory, "daemon.json")
            candidate.write_bytes(self.after)
            if refusal := self.engine.refusal(candidate):
                raise EngineProcessError(f"the engine refuses the change, and nothing was written: {refusal}")

    def apply(self) -> Path | None:
        """Keep the old file, and replace it.

        Returns:
            The file that has the old content; None: there was no file, or nothing was written.

        Raises:
            EngineProcessError: the file was changed after the diff was made.
            OSError: the file can't be written.
        """
        if self.after is None or self.after == self.before:
            return None
        path = self.path
        if _content(path) != self.before:
            raise EngineProcessError(f"{path} was changed in the meantime, so it was not written; run this again")
        if self.before is None:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            create_file(path, self.after)
            return None
        backup = path.with_name(f"{path.name}.dockerv6-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        backup.hardlink_to(path)  # what replaces the file is another one
        try:
            replace_file(path, self.after)
        except BaseException:
            backup.unlink()
            raise
        return backup

    def undo(self, backup: Path | None) -> None:
        """Make the file what it was before `apply`."""
        if backup is not None:
            backup.replace(self.path)
        elif self.after != self.before:
            self.path.unlink()

    def restart(self, settings: Settings, backup: Path | None) -> None:
        """Restart the engine and wait until it answers.

        Raises:
            EngineProcessError: it does not start. The file is what it was before, and the engine was started with it.
            BaseException: this was interrupted. The file is what it was before.
        """
        try:
            refusal = self._restarted(settings)
        except BaseException:
            self.undo(backup)
            raise
        if not refusal:
            return
        self.undo(backup)
        again = self._restarted(settings)
        state = f"does not start with it either: {again}" if again else "is running with it"
        raise EngineProcessError(
            f"the engine did not start ({refusal}). The old {self.engine.config} was restored, and the engine {state};"
            f" its log has the reason: journalctl --unit {self.engine.unit}"
        )

    def _restarted(self, settings: Settings) -> str:
        return self.engine.restart() or asyncio.run(_silence(settings))


def propose(settings: Settings, checks: Sequence[HostCheck]) -> EngineChange | None:
    """The change that solves the findings with a fix; None: no finding has one.

    Raises:
        EngineProcessError: the engine's settings can't be changed from here.
        EngineError, DockerHostError: the engine does not answer.
        OSError: daemon.json can't be read.
    """
    findings = tuple(check for check in checks if check.fix is not None)
    if not findings:
        return None
    for each in checks:
        if each.id is FindingId.ENGINE_SETTINGS_REFUSED and each.fix is None:
            raise EngineProcessError(f"correct this by hand first: {each.message}")
    info, containers = asyncio.run(_ask(settings))
    process = engine_process.find(info, settings.docker_host)
    before = _content(process.config)
    changes = {key: value for finding in findings for key, value in (finding.fix or {}).items()}
    try:
        text = edited((before or b"").decode(errors="surrogateescape"), changes)
        after = text.encode(errors="surrogateescape") if changes else before
    except SettingsSyntaxError as error:
        raise EngineProcessError(f"{process.config}:{error}") from error
    return EngineChange(findings, process, info, before, after, containers)


async def _ask(settings: Settings) -> tuple[EngineInfo, int]:
    engine = DockerEngine(settings.docker_host)
    try:
        return await engine.info(), len(await engine.containers())
    finally:
        await engine.close()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


async def _silence(settings: Settings) -> str:
    """Wait until the engine answers. Returns the error if it does not; "": it answers."""
    deadline = time.monotonic() + _PATIENCE
    engine = DockerEngine(settings.docker_host)
    try:
        while True:
            try:
                await engine.info()
            except EngineError as error:
                if time.monotonic() > deadline:
                    return f"no response within {_PATIENCE:.0f} s: {error}"
            else:
                return ""
            await asyncio.sleep(0.5)
    finally:
        await engine.close()
