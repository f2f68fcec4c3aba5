"""A copy of the warm program behaves as the installed program does; most end-to-end tests depend on it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.lab.process import MARK, end, marked_environment, run, wait_gone
from tests.lab.warm import Copy, WarmProgram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.lab.namespace import Namespace
    from tests.lab.session import Session

    Daemon: TypeAlias = "subprocess.Popen[str] | Copy"

PROGRAM = str(Path(sys.executable).with_name("dockerv6"))
VALID = "{apiVersion: dockerv6.io/v1alpha1, kind: IPv6Network, metadata: {name: blog}, spec: {}}"
COMMANDS = (
    ("nonsense", ""),
    ("get v6net", ""),
    ("validate -", VALID),
    ("validate -", VALID.replace("spec", "spce")),
    ("doctor", ""),
    ("run --state-dir /dev/null/state", ""),
)
KERNEL_STATE = (
    "Umask",
    "Uid",
    "Groups",
    "NoNewPrivs",
    "Seccomp",
    "CapInh",
    "CapEff",
    "CapBnd",
    "SigBlk",
    "SigIgn",
    "SigCgt",
)


@pytest.fixture(scope="module")
def warm(lab_session: Session) -> Iterator[WarmProgram]:
    """A warm program of this module's own."""
    made = WarmProgram(marked_environment(lab_session.id))
    yield made
    made.close()


@pytest.fixture
def environment(lab_session: Session, tmp_path: Path) -> dict[str, str]:
    """Directories for an installation, and no engine."""
    for name in ("config", "state", "run"):
        (tmp_path / name).mkdir()
    ours = {f"DOCKERV6_{name.upper()}_DIR": str(tmp_path / name) for name in ("config", "state", "run")}
    return {**marked_environment(lab_session.id, ours), "DOCKER_HOST": f"unix://{tmp_path}/none", "NO_COLOR": "1"}


@pytest.fixture
def bind(tmp_path: Path) -> tuple[Path, Path]:
    """A file, and another one in whose place copies see it."""
    for name in ("seen", "place"):
        (tmp_path / name).write_text(name)
    return tmp_path / "seen", tmp_path / "place"


@pytest.fixture
def daemons(
    warm: WarmProgram, environment: Mapping[str, str], netns: Namespace, bind: tuple[Path, Path], tmp_path: Path
) -> Iterator[Mapping[str, Callable[[], Daemon]]]:
    """What starts a daemon, as the installed program and as a copy, and waits until it listens."""
    started: list[Daemon] = []

    def listening(daemon: Daemon) -> Daemon:
        started.append(daemon)
        while not (tmp_path / "run" / "http.sock").exists():
            assert daemon.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.01)
        return daemon

    def installed() -> Daemon:
        with (tmp_path / "log").open("a") as log, Path(os.devnull).open() as nothing:
            argv = netns.enter([PROGRAM, "run"])
            return listening(
                subprocess.Popen(
                    argv, stdin=nothing, stdout=log, stderr=log, text=True, start_new_session=True, env=environment
                )
            )

    def copy() -> Daemon:
        with (tmp_path / "log").open("a") as log, Path(os.devnull).open() as nothing:
            return listening(warm.start([PROGRAM, "run"], environment, netns.path, bind, nothing, log, log))

    yield {"installed": installed, "copy": copy}
    for daemon in started:
        end(daemon)


@pytest.mark.parametrize(
    ("command", "stdin"), COMMANDS, ids=[command.split("-")[0] or command for command, _ in COMMANDS]
)
def test_a_command_has_the_same_status_and_output(
    command: str,
    stdin: str,
    warm: WarmProgram,
    environment: Mapping[str, str],
    netns: Namespace,
    bind: tuple[Path, Path],
) -> None:
    argv = [PROGRAM, *shlex.split(command)]
    installed = run(netns.enter(argv), check=False, env=environment, stdin=stdin)
    copy = warm.run(argv, environment, netns.path, bind, stdin=stdin, timeout=120)
    assert (copy.returncode, copy.stdout, copy.stderr) == (installed.returncode, installed.stdout, installed.stderr)


def test_a_daemon_has_the_same_state_in_the_kernel(
    daemons: Mapping[str, Callable[[], Daemon]], netns: Namespace, bind: tuple[Path, Path]
) -> None:
    seen = {}
    for name, start in daemons.items():
        daemon = start()
        seen[name] = _in_kernel(daemon.pid)
        assert Path(f"/proc/{daemon.pid}/ns/net").stat().st_ino == netns.path.stat().st_ino
        if name == "copy":
            assert Path(f"/proc/{daemon.pid}/root/{bind[1]}").read_text() == "seen"
        assert end(daemon) == 0
    assert bind[1].read_text() == "place"
    assert seen["copy"] == seen["installed"]


def test_a_copy_has_no_descriptors_of_others(
    warm: WarmProgram, environment: Mapping[str, str], netns: Namespace, bind: tuple[Path, Path]
) -> None:
    read, write = (os.fdopen(number, mode) for number, mode in zip(os.pipe(), "rw", strict=True))
    with read, write, Path(os.devnull).open("w") as nothing:
        start = ([PROGRAM, "validate", "-"], environment, netns.path, bind, read, nothing, nothing)
        waiting = [warm.start(*start), warm.start(*start)]  # for their input
        opened = Path(f"/proc/{waiting[1].pid}/fd")
        while len([*opened.iterdir()]) != 3:
            assert waiting[1].poll() is None
            time.sleep(0.01)
        assert [(opened / number).readlink() for number in "012"] == [
            Path(f"/proc/self/fd/{stream.fileno()}").readlink() for stream in (read, nothing, nothing)
        ]
        for each in waiting:
            each.kill()
            assert each.wait(60) == -signal.SIGKILL


def _in_kernel(pid: int) -> Mapping[str, object]:
    proc = Path(f"/proc/{pid}")
    for _ in range(1000):
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
        if not int(status["SigBlk"], 16) >> signal.SIGTERM - 1 & 1:
            break
        time.sleep(0.01)  # glibc blocks all signals while it starts a thread
    return {
        **{field: status[field] for field in KERNEL_STATE},
        **{name: (proc / name).read_text() for name in ("comm", "limits", "cgroup", "oom_score_adj")},
        **{name: (proc / name).readlink() for name in ("cwd", "exe")},
        "leads its session and group": os.getsid(pid) == os.getpgid(pid) == pid,
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_daemon_ends_with_the_same_status(
    number: signal.Signals, daemons: Mapping[str, Callable[[], Daemon]]
) -> None:
    ends = {name: end(start(), first=number) for name, start in daemons.items()}
    assert ends["copy"] == ends["installed"]


def test_a_command_that_takes_too_long_is_killed(
    warm: WarmProgram, environment: Mapping[str, str], netns: Namespace, bind: tuple[Path, Path]
) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run([PROGRAM, "run"], environment, netns.path, bind, stdin=None, timeout=0.2)
    assert warm.run([PROGRAM, "version", "--client"], environment, netns.path, bind, stdin=None, timeout=60).stdout


def test_a_copy_that_cannot_start_says_why(
    warm: WarmProgram, environment: Mapping[str, str], netns: Namespace, bind: tuple[Path, Path]
) -> None:
    failed = warm.run([PROGRAM], environment, netns.path, (bind[0], bind[1] / "none"), stdin=None, timeout=60)
    assert (failed.returncode, "mount: " in failed.stderr) == (1, True)


def test_copies_are_forked_beside_others_that_run(
    warm: WarmProgram, environment: Mapping[str, str], netns: Namespace, bind: tuple[Path, Path]
) -> None:
    with Path(os.devnull).open("r+") as nothing:
        argv = [PROGRAM, "explain", "ipv6network"]
        copies = [warm.start(argv, environment, netns.path, bind, *[nothing] * 3) for _ in range(10)]
    assert {copy.wait(60) for copy in copies} == {0}


def test_other_copies_can_start_when_one_was_forgotten(
    warm: WarmProgram, environment: Mapping[str, str], netns: Namespace, bind: tuple[Path, Path]
) -> None:
    start = ([PROGRAM, "nonsense"], environment, netns.path, bind)
    with Path(os.devnull).open("r+") as nothing:
        forgotten = warm.start(*start, nothing, nothing, nothing)
        forgotten._answers.close()
        assert wait_gone(forgotten.pid, 60)
    assert warm.run(*start, stdin=None, timeout=60).returncode == 2


def test_a_copy_that_was_seen_to_end_is_not_running(
    warm: WarmProgram, environment: Mapping[str, str], netns: Namespace, bind: tuple[Path, Path]
) -> None:
    for _ in range(5):
        with Path(os.devnull).open("r+") as nothing:
            copy = warm.start([PROGRAM, "nonsense"], environment, netns.path, bind, nothing, nothing, nothing)
        assert wait_gone(copy.pid, 60)
        assert copy.poll() == 2


def test_a_copy_without_its_parent_is_found_by_its_mark_and_ends(
    warm: WarmProgram, daemons: Mapping[str, Callable[[], Daemon]], lab_session: Session
) -> None:
    daemon = daemons["copy"]()
    marks = Path(f"/proc/{daemon.pid}/environ").read_bytes().split(b"\0")
    assert f"{MARK}={lab_session.id}".encode() in marks
    warm.close()
    os.kill(daemon.pid, signal.SIGKILL)
    assert wait_gone(daemon.pid, 60)
    assert daemon.wait(60) == -signal.SIGKILL
