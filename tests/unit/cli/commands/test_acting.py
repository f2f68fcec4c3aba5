"""The verbs that hand over to the daemon's floor: what they pass on, print, and exit with."""

import json
from collections.abc import Callable
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from dockerv6.api.scheme import decode, digest
from dockerv6.daemon import preview, process
from dockerv6.daemon.preview import Preview
from dockerv6.daemon.process import ApplyResult
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import BindSubnet
from dockerv6.source.model import Diagnostic, Position, Severity
from dockerv6.store.lock import AlreadyRunning
from dockerv6.store.model import StoredObject
from tests.unit.cli.harness import Daemon, FakeTime, ready, run, stored

Patch = pytest.MonkeyPatch


def returning(monkeypatch: Patch, where: object, name: str, result: object) -> list[tuple[object, ...]]:
    """Put a function in place that gives this, or raises it, and tells what it was called with."""
    calls: list[tuple[object, ...]] = []

    def called(*positional: object, **named: object) -> object:
        calls.append((*positional, *named.values()))
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(where, name, called)
    return calls


def test_run_exits_as_the_daemon_does(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, process, "run", 3)
    assert run(["run", "--log-level", "debug"]).exit_code == 3
    assert calls == [(Settings(log_level="debug"),)]


@pytest.mark.parametrize("verb", ["run", "apply", "plan", "uninstall"])
@pytest.mark.parametrize("error", [EngineUnavailable("no engine"), ValueError("Docker host 'x': can't be used")])
def test_an_expected_error_is_one_line(monkeypatch: Patch, verb: str, error: Exception) -> None:
    where = {"run": process, "apply": process, "plan": preview, "uninstall": process}[verb]
    returning(monkeypatch, where, "preview" if verb == "plan" else verb, error)
    result = run([verb, *(["--yes"] if verb == "uninstall" else [])])
    assert (result.exit_code, result.stderr) == (1, f"Error: {error}\n")


def test_apply_tells_of_each_resource(monkeypatch: Patch) -> None:
    good = ApplyResult("IPv6Network", "blog", True, "ReconcileSucceeded", "fine")
    calls = returning(monkeypatch, process, "apply", (good,))
    result = run(["apply", "--timeout", "1m"])
    assert (result.exit_code, result.stdout) == (0, "ipv6network.dockerv6.io/blog ready\n")
    assert calls == [(Settings(), 60.0)]


def test_apply_fails_when_one_is_not_ready(monkeypatch: Patch) -> None:
    bad = ApplyResult("IPv6Network", "blog", False, "SubnetOverlap", "it overlaps\nlab")
    returning(monkeypatch, process, "apply", (bad,))
    result = run(["apply"])
    assert result.exit_code == 1
    assert result.stdout == "ipv6network.dockerv6.io/blog not ready (SubnetOverlap): it overlaps lab\n"


def test_apply_of_nothing_is_no_error(monkeypatch: Patch) -> None:
    returning(monkeypatch, process, "apply", ())
    result = run(["apply"])
    assert (result.exit_code, result.stderr) == (0, "No resources found\n")


@pytest.fixture
def beside(monkeypatch: Patch, daemon: Daemon, tmp_path: Path) -> Callable[[FakeTime], tuple[int, str, str]]:
    """An apply beside a running daemon, with one file."""
    returning(monkeypatch, process, "apply", AlreadyRunning(daemon.directory / "lock", 4711))
    file = tmp_path / "config" / "blog.yaml"
    file.parent.mkdir()
    file.write_text("apiVersion: dockerv6.io/v1alpha1\nkind: IPv6Network\nmetadata: {name: blog}\n")

    def apply(time: FakeTime) -> tuple[int, str, str]:
        result = run(["apply", "--config-dir", str(file.parent), "--timeout", "10s"], time)
        return result.exit_code, result.stdout, result.stderr

    return apply


def accepted(status: str) -> StoredObject:
    blog = decode({"apiVersion": "dockerv6.io/v1alpha1", "kind": "IPv6Network", "metadata": {"name": "blog"}}).resource
    return stored("blog", digest=digest(blog), status=ready(status, reason="X"))


def test_beside_a_daemon_apply_waits_for_it(beside: Callable[[FakeTime], tuple[int, str, str]], daemon: Daemon) -> None:
    time = FakeTime(
        lambda: daemon.accept(accepted("Unknown")),
        lambda: daemon.accept(accepted("True")),
    )
    assert beside(time) == (
        0,
        "ipv6network.dockerv6.io/blog ready\n",
        "dockerv6 (process 4711) is running: waiting for it\n",
    )


def test_beside_a_daemon_that_takes_too_long_apply_fails(
    beside: Callable[[FakeTime], tuple[int, str, str]],
) -> None:
    time = FakeTime()
    code, told, _ = beside(time)
    assert (code, time.elapsed) == (1, 10)
    assert told == "ipv6network.dockerv6.io/blog not ready (Progressing): the daemon has not taken its file in yet\n"


STEP = BindSubnet("blog", "default", IPv6Network("fd00::/64"), None, "it has none")
OPEN = Plan("IPv6Network", "blog", (STEP,))
DONE = Plan("IPv6Network", "shop")
BLOCKED = Plan("IPv6Network", "bad", findings=(Finding("SubnetAllocated", "SubnetOverlap", "overlap"),))
WARNING = Diagnostic(Position("a.yaml", 1, 1), Severity.WARNING, (), "odd")
ERROR = Diagnostic(Position("a.yaml", 1, 1), Severity.ERROR, ("spec",), "wrong", "mend it")


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Preview((DONE,), ()), 0),
        (Preview((DONE,), (WARNING,)), 0),
        (Preview((OPEN, DONE), ()), 2),
        (Preview((OPEN, BLOCKED), ()), 1),
        (Preview((OPEN,), (ERROR,)), 1),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_the_exit_code_of_a_plan_tells_what_it_holds(monkeypatch: Patch, found: Preview, code: int, form: str) -> None:
    returning(monkeypatch, preview, "preview", found)
    assert run(["plan", "-o", form]).exit_code == code


def test_a_plan_can_be_narrowed(monkeypatch: Patch) -> None:
    returning(monkeypatch, preview, "preview", Preview((OPEN, DONE), ()))
    assert run(["plan", "v6net/shop"]).exit_code == 0
    assert [plan["name"] for plan in json.loads(run(["plan", "v6net", "-o", "json"]).stdout)["plans"]] == [
        "blog",
        "shop",
    ]
    assert run(["plan", "v6net/x"]).stderr == 'Error: ipv6networks "x" not found\n'


def test_findings_of_the_files_go_to_standard_error(monkeypatch: Patch) -> None:
    returning(monkeypatch, preview, "preview", Preview((), (ERROR,)))
    result = run(["plan"])
    assert result.stderr == "a.yaml:1:1: error: spec: wrong; mend it\n"
    assert result.stdout == "No changes.\n"


def test_uninstall_asks_on_a_terminal_only(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, process, "uninstall", ("removed a", "removed b"))
    assert run(["uninstall"]).exit_code == 2
    monkeypatch.setattr("dockerv6.cli.commands.uninstall.interactive", lambda: True)
    refused = run(["uninstall"], input="n\n")
    assert (refused.exit_code, calls) == (1, [])
    assert "nothing was removed" in refused.stderr
    assert run(["uninstall"], input="y\n").stdout.endswith("removed a\nremoved b\n")
    assert calls == [(Settings(), False)]


def test_uninstall_may_keep_the_networks(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, process, "uninstall", ())
    assert run(["uninstall", "--yes", "--keep-networks"]).exit_code == 0
    assert calls == [(Settings(), True)]
