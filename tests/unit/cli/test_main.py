"""The command line as a whole: help, exit codes, errors, imports, and its clock."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from dockerv6.cli.commands import get
from dockerv6.cli.main import EXPECTED, VERBS, main
from dockerv6.cli.options import ExampleCommand
from dockerv6.cli.state import SystemBlockingClock
from dockerv6.store.port import StoreError
from tests.unit.cli.harness import Daemon, FakeTime, run, stored


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_with_examples(name: str) -> None:
    result = run([name, "--help"])
    assert result.exit_code == 0
    assert f"Usage: main {name}" in result.stdout
    assert f"Examples:\n  {'' if name != 'completion' else 'source <('}dockerv6 {name}" in result.stdout


@pytest.mark.parametrize("name", VERBS)
def test_every_command_has_the_name_of_its_verb(name: str) -> None:
    with click.Context(main) as context:
        command = main.get_command(context, name)
    assert isinstance(command, ExampleCommand)
    assert command.name == name
    assert command.short_help


def test_the_version_is_printed() -> None:
    assert run(["--version"]).stdout.startswith("dockerv6 ")


def test_an_unknown_verb_is_wrong_usage_with_a_suggestion() -> None:
    result = run(["descibe", "v6net"])
    assert result.exit_code == 2
    assert "unknown command 'descibe'; did you mean describe?" in result.stderr


def test_without_a_verb_the_help_is_printed() -> None:
    assert "Commands:" in run([]).output


def test_every_expected_error_exists() -> None:
    for name in EXPECTED:
        module, _, attribute = name.partition(":")
        assert issubclass(getattr(import_module(module), attribute), Exception)


@pytest.mark.parametrize(
    ("error", "stderr"),
    [
        (StoreError("the disk is full; free some space"), "Error: the disk is full; free some space\n"),
        (PermissionError(13, "Permission denied", "/x"), "Error: /x: Permission denied\n"),
        (OSError("odd"), "Error: odd\n"),
        (StoreError("the row of x\x1b]0;title\x07\ny"), "Error: the row of x\\x1b]0;title\\x07 y\n"),
        (OSError(2, "No such file", "/x\x9b\n"), "Error: /x\\u009b : No such file\n"),
    ],
)
def test_an_expected_error_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, stderr: str) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(get, "_read", fails)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    result = run(["get", "v6net"])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", stderr)


def test_a_permission_error_suggests_sudo_to_other_users_than_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/x")

    monkeypatch.setattr(get, "_read", fails)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert run(["get", "v6net"]).stderr == "Error: /x: Permission denied; you are not root: try again with sudo\n"


def test_an_unexpected_error_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr(get, "_read", fails)
    with pytest.raises(KeyError):
        run(["get", "v6net"])


def test_ctrl_c_ends_with_130(daemon: Daemon) -> None:
    daemon.accept(stored())
    time = FakeTime()
    time.interrupt = True
    assert run(["get", "v6net", "-w"], time).exit_code == 130


def test_a_closed_pipe_is_no_error(running: Daemon) -> None:
    running.accept(*(stored(f"n{number}") for number in range(2000)))
    with subprocess.Popen(
        [sys.executable, "-c", "from dockerv6.cli.main import main; main()", "get", "v6net", "-o", "wide"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""


HEAVY = {"asyncio", "docker", "pydantic", "pyroute2", "prometheus_client", "watchfiles", "yaml", "iptc", "email"}


@pytest.mark.parametrize(
    "arguments", ["get v6net", "get all -o wide", "get v6net -o json", "events", "wait v6net/blog", "describe v6net"]
)
def test_commands_that_read_the_state_import_nothing_heavy(running: Daemon, arguments: str) -> None:
    running.accept(stored(spec={}))
    program = (
        "import sys\nfrom dockerv6.cli.main import main\n"
        f"main({arguments.split()!r}, standalone_mode=False)\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    allowed = {"yaml"} if arguments.startswith("describe") else set()
    assert set(done.stderr.splitlines()[-1].split()) & HEAVY <= allowed


OF_THE_DAEMON = {"controller", "reconciler", "planning", "hostnet"}


@pytest.mark.parametrize(
    ("arguments", "unloaded"),
    [
        ("--version", HEAVY - {"email"} | {"sqlite3"}),  # importlib.metadata needs email
        ("--help", HEAVY - {"email"}),
        ("version --client", HEAVY - {"email"}),
        ("version", {"pydantic", "prometheus_client", "iptc"}),
        ("validate {file}", {"docker", "requests", "prometheus_client", "iptc"}),
        ("completion bash", HEAVY - {"email"}),
    ],
)
def test_commands_import_only_what_they_need(tmp_path: Path, arguments: str, unloaded: set[str]) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: blog}\nspec: {}\n")
    loaded = _loaded_by(arguments.format(file=file).split(), tmp_path)
    assert {name.partition(".")[0] for name in loaded} & unloaded == set()
    assert {name for part in OF_THE_DAEMON for name in loaded if name.startswith(f"dockerv6.{part}")} == set()


def _loaded_by(arguments: list[str], directory: Path) -> set[str]:
    program = (
        "import sys\nfrom dockerv6.cli.main import main\n"
        f"try:\n    main({arguments!r})\nfinally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    environment = {**os.environ, "DOCKERV6_RUN_DIR": str(directory), "DOCKER_HOST": f"unix://{directory}/none"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    return set(done.stderr.splitlines()[-1].split())


def test_the_daemon_does_not_load_what_only_others_need() -> None:
    modules = ("dockerv6.cli.commands.run", "dockerv6.daemon.environment", "dockerv6.daemon.process")
    program = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    others = ("api.crd", "planning.importing", "daemon.doctor", "daemon.checks", "daemon.importing", "daemon.preview")
    assert set(done.stdout.split()) & {"iptc", "anyio", *(f"dockerv6.{name}" for name in others)} == set()


def test_colour_is_used_on_terminals_only(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.accept(stored(status={"conditions": [{"type": "Ready", "status": "False"}]}))
    coloured = run(["get", "v6net"], color=True).stdout
    assert "\x1b[31mFalse\x1b[0m" in coloured
    assert "\x1b" not in run(["get", "v6net"]).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run(["get", "v6net"], color=True).stdout


def test_the_system_time_goes_forward() -> None:
    time = SystemBlockingClock()
    before, began = time.now(), time.monotonic()
    time.sleep(0)
    assert time.now() > 1_700_000_000
    assert before > 1_700_000_000
    assert time.monotonic() >= began
