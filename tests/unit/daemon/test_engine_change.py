"""A change of daemon.json is the one that was shown, accepted by the engine's program, and can be undone."""

import asyncio
import os
from pathlib import Path

import pytest

from dockerv6.daemon import engine_change, engine_process
from dockerv6.daemon.engine_change import EngineChange
from dockerv6.daemon.engine_process import EngineProcess, EngineProcessError
from dockerv6.daemon.findings import FindingId, fail
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.model import EngineInfo

Patch = pytest.MonkeyPatch

OLD, NEW = b'{\n  "debug": true\n}', b'{\n  "debug": true,\n  "ipv6": true\n}'


def program(directory: Path, script: str) -> Path:
    """A stand-in for dockerd's file: what it prints and how it ends."""
    path = directory / "dockerd"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def change(directory: Path, *, before: bytes | None = OLD, after: bytes | None = NEW, script: str = "") -> EngineChange:
    config = directory / "daemon.json"
    if before is not None:
        config.write_bytes(before)
    process = EngineProcess(1, program(directory, script), ("--debug",), dict(os.environ), config, "docker.service")
    return EngineChange((), process, EngineInfo("host", "", (28, 0), ""), before, after, 0)


def test_the_diff_is_that_of_diff_u(tmp_path: Path) -> None:
    name = str(tmp_path / "daemon.json")
    assert change(tmp_path).diff() == (
        *(f"--- {name}", f"+++ {name}", "@@ -1,3 +1,4 @@", " {", '-  "debug": true', '+  "debug": true,'),
        *('+  "ipv6": true', " }", "\\ No newline at end of file"),
    )
    assert change(tmp_path, before=None, after=b"{}\n").diff() == (
        "--- /dev/null",
        f"+++ {name}",
        "@@ -0,0 +1 @@",
        "+{}",
    )
    assert change(tmp_path, after=OLD).diff() == ()
    text = '{"a": "\u2028\x85"}'.encode()  # lines of Python's strings, and of no file
    assert change(tmp_path, before=text + b"\n", after=text + b"\n\n").diff()[2:] == (
        "@@ -1 +1,2 @@",
        f" {text.decode()}",
        "+",
    )


def test_the_new_file_replaces_the_target_of_a_link_and_keeps_its_mode(tmp_path: Path) -> None:
    proposed = change(tmp_path)
    target = tmp_path / "managed.json"
    proposed.engine.config.rename(target)
    target.chmod(0o600)
    os.setxattr(target, "user.kept", b"yes")
    proposed.engine.config.symlink_to(target.name)
    backup = proposed.apply()
    assert backup is not None
    assert backup.name.startswith("managed.json.dockerv6-")
    assert (backup.read_bytes(), target.read_bytes(), proposed.engine.config.is_symlink()) == (OLD, NEW, True)
    assert (target.stat().st_mode & 0o777, os.getxattr(target, "user.kept")) == (0o600, b"yes")
    proposed.undo(backup)
    assert (target.read_bytes(), backup.exists()) == (OLD, False)


def test_each_of_two_changes_in_a_second_keeps_the_file_before_it(tmp_path: Path) -> None:
    first, second = change(tmp_path).apply(), change(tmp_path, before=NEW, after=OLD).apply()
    assert first is not None
    assert second is not None
    assert (first.read_bytes(), second.read_bytes()) == (OLD, NEW)


def test_a_new_file_and_its_directory_are_made_and_removed(tmp_path: Path) -> None:
    proposed = change(tmp_path, before=None)
    assert proposed.apply() is None
    assert (proposed.path.read_bytes(), proposed.path.stat().st_mode & 0o777) == (NEW, 0o644)
    proposed.undo(None)
    assert not proposed.path.exists()


def test_the_engines_program_is_asked_with_the_flags_of_the_engine(tmp_path: Path) -> None:
    script = 'echo "$@" >"$0.asked"; for last; do :; done; cat "$last" >"$0.read"'
    change(tmp_path, script=script).check(restart=False)
    assert (tmp_path / "dockerd.asked").read_text().startswith("--debug --validate --config-file /")
    assert (tmp_path / "dockerd.read").read_bytes() == NEW


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'WARN x' >&2; echo 'no such option' >&2; exit 1", "nothing was written: no such option"),
        ("exit 1", "nothing was written: its program does not accept it"),
    ],
)
def test_what_the_engine_refuses_is_not_written(tmp_path: Path, script: str, why: str) -> None:
    proposed = change(tmp_path, script=script)
    with pytest.raises(EngineProcessError, match=why):
        proposed.check(restart=False)
    assert {each.name for each in tmp_path.iterdir()} == {"dockerd", "daemon.json"}


def test_a_program_that_can_not_validate_is_not_asked(tmp_path: Path) -> None:
    script = (
        "echo 'Status: unknown flag: --validate' >&2; echo \"See 'dockerd --help'., Code: 125\" >&2; exit 1"  # 20.10
    )
    proposed = change(tmp_path, script=script)
    proposed.check(restart=False)
    assert proposed.engine.settings((20, 10)).refusal is None


def test_a_program_that_is_gone_is_no_consent(tmp_path: Path) -> None:
    proposed = change(tmp_path)
    proposed.engine.program.unlink()
    with pytest.raises(EngineProcessError, match="can't be started: No such file"):
        proposed.check(restart=False)


@pytest.mark.parametrize("meanwhile", [b"{}", None])
@pytest.mark.parametrize("before", [OLD, None])
def test_a_file_that_was_changed_after_the_diff_is_kept(
    tmp_path: Path, before: bytes | None, meanwhile: bytes | None
) -> None:
    proposed = change(tmp_path, before=before)
    proposed.path.unlink(missing_ok=True)
    if meanwhile is None and before is None:
        meanwhile = b""  # an empty file is a file
    if meanwhile is not None:
        proposed.path.write_bytes(meanwhile)
    with pytest.raises(EngineProcessError, match="was changed in the meantime"):
        proposed.apply()
    assert (proposed.path.read_bytes() if proposed.path.exists() else None) == meanwhile


def test_a_failed_write_leaves_no_copy(tmp_path: Path, monkeypatch: Patch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine_change, "replace_file", full)
    proposed = change(tmp_path)
    with pytest.raises(OSError, match="No space"):
        proposed.apply()
    assert {each.name for each in tmp_path.iterdir()} == {"dockerd", "daemon.json"}


def test_an_engine_that_would_not_start_again_is_not_restarted_for_another_finding() -> None:
    gone = fail(FindingId.ENGINE_CHAINS_MISSING, "engine's chains", "gone", fix={})
    refused = fail(FindingId.ENGINE_SETTINGS_REFUSED, "engine settings", "daemon.json:2:3: no")
    with pytest.raises(EngineProcessError, match=r"correct this by hand first: daemon\.json:2:3: no"):
        engine_change.propose(Settings(), (gone, refused))
    assert engine_change.propose(Settings(), (refused,)) is None


@pytest.mark.parametrize(("again", "state"), [("", "is running with it"), ("no", "does not start with it either: no")])
def test_an_engine_that_does_not_start_gets_the_former_file(
    tmp_path: Path, monkeypatch: Patch, again: str, state: str
) -> None:
    async def answers(_: Settings) -> str:
        await asyncio.sleep(0)
        return ""

    errors = iter(("exit status 1", again))
    monkeypatch.setattr(EngineProcess, "restart", lambda _: next(errors))
    monkeypatch.setattr(engine_change, "_silence", answers)
    proposed = change(tmp_path)
    backup = proposed.apply()
    with pytest.raises(EngineProcessError, match=rf"did not start \(exit status 1\).*{state}"):
        proposed.restart(Settings(), backup)
    assert proposed.path.read_bytes() == OLD


def test_an_interrupted_restart_leaves_the_former_file(tmp_path: Path, monkeypatch: Patch) -> None:
    def interrupted(_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(EngineProcess, "restart", interrupted)
    proposed = change(tmp_path)
    backup = proposed.apply()
    with pytest.raises(KeyboardInterrupt):
        proposed.restart(Settings(), backup)
    assert proposed.path.read_bytes() == OLD


@pytest.mark.parametrize(("after", "first"), [(NEW, "apply the change without --restart-engine, and "), (OLD, "")])
def test_an_engine_that_systemd_does_not_run_is_restarted_by_hand(
    tmp_path: Path, monkeypatch: Patch, after: bytes, first: str
) -> None:
    monkeypatch.setattr(EngineProcess, "is_restartable", lambda _: False)
    with pytest.raises(EngineProcessError, match=rf"\(process 1\): {first}restart the engine as it was started"):
        change(tmp_path, after=after).check(restart=True)


def info(**about: bool) -> EngineInfo:
    return EngineInfo("host", "28.5.0", (28, 5), "1.51", **about)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("about", "address", "why"),
    [
        (info(rootless=True), None, "rootless"),
        (info(podman=True), None, "rootless engine and Podman"),
        (info(), "tcp://127.0.0.1:2375", "over TCP"),
        (info(), "unix:///nowhere/docker.sock", "on the host and not in a container"),
        (EngineInfo("docker-desktop", "28.5.0", (28, 5), "1.51"), "unix:///nowhere/docker.sock", "Docker Desktop"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_engines_whose_settings_are_not_here_are_refused(about: EngineInfo, address: str | None, why: str) -> None:
    with pytest.raises(EngineProcessError, match=why):
        engine_process.find(about, address)


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A stand-in for /proc, with one dockerd that listens on a socket. Gives the directory of the process."""
    root = tmp_path / "proc"
    monkeypatch.setattr(engine_process, "_PROC", root)
    (root / "net").mkdir(parents=True)
    (root / "net/unix").write_text(f"Num\n0: 00000002 00000000 00010000 0001 01 77 {tmp_path}/docker.sock\n")
    return dockerd(root / "20", tmp_path, "/")


def dockerd(directory: Path, files: Path, root: str | Path) -> Path:
    (directory / "fd").mkdir(parents=True)
    (directory / "status").write_bytes(b"Name:\tdockerd\nUmask:\t0022\nUid:\t0\t0\t0\t0\n")
    (directory / "cmdline").write_bytes(f"dockerd\0--config-file={files}/etc/daemon.json\0--debug\0".encode())
    (directory / "environ").write_bytes(b"A=b\0NOTIFY_SOCKET=/run/x\0")
    (directory / "cgroup").write_text("0::/system.slice/docker.service\n")
    for name, target in {
        "root": root,
        "exe": f"{files}/bin/dockerd (deleted)",
        "cwd": "/",
        "fd/3": "socket:[77]",
    }.items():
        (directory / name).symlink_to(target)
    return directory


def test_the_engine_is_found_by_its_socket_beside_that_of_a_container(proc: Path, tmp_path: Path) -> None:
    (tmp_path / "container").mkdir()
    dockerd(proc.parent / "10", tmp_path, tmp_path / "container")
    found = engine_process.find(info(), f"unix://{tmp_path}/docker.sock")
    assert (found.pid, found.arguments, found.environment) == (20, ("--debug",), {"A": "b"})
    assert (found.program, found.config) == (tmp_path / "bin/dockerd", tmp_path / "etc/daemon.json")
    assert found.unit == "docker.service"


def test_the_engine_is_found_while_it_closes_other_descriptors(proc: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    (proc / "fd/2").symlink_to("pipe:[1]")
    readlink, listed = Path.readlink, Path.iterdir

    def closed(path: Path) -> Path:
        if path.name == "2":
            raise FileNotFoundError(path)
        return readlink(path)

    monkeypatch.setattr(Path, "readlink", closed)
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(sorted(listed(path))))
    assert engine_process.find(info(), f"unix://{tmp_path}/docker.sock").pid == 20


def test_an_engine_that_sees_other_files_is_refused(proc: Path, tmp_path: Path) -> None:
    (proc / "root").unlink()
    (proc / "root").symlink_to(tmp_path)
    with pytest.raises(EngineProcessError, match="sees other files"):
        engine_process.find(info(), f"unix://{tmp_path}/docker.sock")


def test_files_that_are_mounted_for_the_engine_only_are_others(proc: Path, tmp_path: Path) -> None:
    there, here = tmp_path / "root" / str(tmp_path).lstrip("/"), tmp_path / "daemon.json"
    there.mkdir(parents=True)
    here.touch()
    (proc / "root").unlink()
    (proc / "root").symlink_to(tmp_path / "root")
    assert not engine_process._is_shared(proc, here)
    (there / "daemon.json").touch()
    assert not engine_process._is_shared(proc, here)
    (there / "daemon.json").unlink()
    (there / "daemon.json").hardlink_to(here)
    assert engine_process._is_shared(proc, here)
