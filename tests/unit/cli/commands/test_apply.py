from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dockerv6.api.kinds import API_VERSION, NETWORK
from dockerv6.api.scheme import decode, digest
from dockerv6.cli.commands.apply import ApplyStatus, apply_statuses
from dockerv6.daemon import process
from dockerv6.daemon.process import ApplyResult
from dockerv6.daemon.settings import Settings
from dockerv6.planning.saved_plan import PlanOrigin, PlanRefused, SavedPlan
from dockerv6.source.model import Diagnostic, InvalidResource, Position, Severity, Snapshot, SourcedResource
from dockerv6.store.lock import AlreadyRunning
from dockerv6.store.model import WARNINGS, StoredObject
from tests.unit.cli.harness import NOW, Daemon, FakeTime, Patch, condition, ready, returning, run, stored


def test_apply_prints_each_resource(monkeypatch: Patch) -> None:
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


def test_warnings_are_printed_and_change_no_exit_code(monkeypatch: Patch) -> None:
    warned = ApplyResult("IPv6Network", "blog", True, "ReconcileSucceeded", "fine", ("HostReady MTUMismatch: set it",))
    fine = ApplyResult("IPv6Network", "shop", True, "ReconcileSucceeded", "fine")
    returning(monkeypatch, process, "apply", (warned, fine))
    result = run(["apply"])
    assert (result.exit_code, result.stderr) == (0, "2 of 2 ready, 1 with warnings\n")
    assert result.stdout.splitlines() == [
        "ipv6network.dockerv6.io/blog ready",
        "  warning: HostReady MTUMismatch: set it",
        "ipv6network.dockerv6.io/shop ready",
    ]


def test_warnings_come_from_a_running_daemon_too() -> None:
    narrow = condition("HostReady", "Unknown", "MTUMismatch", "set it")
    status = {"observedGeneration": 1, "conditions": [condition("Ready", "True", "ReconcileSucceeded"), narrow]}
    resource = decode({"apiVersion": API_VERSION, "kind": NETWORK, "metadata": {"name": "blog"}}).resource
    snapshot = Snapshot(resources=(SourcedResource(resource, Position("a.yaml")),))
    (found,) = apply_statuses(snapshot, (stored("blog", digest=digest(resource), status=status),))
    assert (found.ready, found.final, found.warnings) == (True, True, ("HostReady MTUMismatch: set it",))


def test_apply_of_nothing_is_no_error(monkeypatch: Patch) -> None:
    returning(monkeypatch, process, "apply", ())
    result = run(["apply"])
    assert (result.exit_code, result.stderr) == (0, "No resources found\n")


def test_apply_fails_with_a_problem_that_belongs_to_no_resource(monkeypatch: Patch, daemon: Daemon) -> None:
    good = ApplyResult("IPv6Network", "blog", True, "ReconcileSucceeded", "fine")
    returning(monkeypatch, process, "apply", (good,))
    daemon.report("/etc/dockerv6.d/x.yaml:2:7: there is no kind 'IPV6Network'")
    result = run(["apply"])
    assert result.exit_code == 1
    assert result.stderr == "Error: /etc/dockerv6.d/x.yaml:2:7: there is no kind 'IPV6Network'\n"


def test_apply_does_not_fail_with_a_warning_that_belongs_to_no_resource(monkeypatch: Patch, daemon: Daemon) -> None:
    good = ApplyResult("IPv6Network", "blog", True, "ReconcileSucceeded", "fine")
    returning(monkeypatch, process, "apply", (good,))
    daemon.report("container web: label 'dockerv6.io/network=x' has no effect", scope=WARNINGS)
    result = run(["apply"])
    expected = "Warning: container web: label 'dockerv6.io/network=x' has no effect\n"
    assert (result.exit_code, result.stderr) == (0, expected)


def test_an_error_is_one_line_without_control_characters(monkeypatch: Patch, daemon: Daemon) -> None:
    returning(monkeypatch, process, "apply", ())
    daemon.report("x\x1b]0;title\x07\n.yaml:1:1: error: invalid")
    assert run(["apply"]).stderr.splitlines()[0] == "Error: x\\x1b]0;title\\x07 .yaml:1:1: error: invalid"


@pytest.fixture
def apply_beside_daemon(
    monkeypatch: Patch, daemon: Daemon, tmp_path: Path
) -> Callable[[FakeTime], tuple[int, str, str]]:
    """Runs apply while a daemon is running, with one file."""
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


def test_apply_waits_for_a_running_daemon(
    apply_beside_daemon: Callable[[FakeTime], tuple[int, str, str]], daemon: Daemon
) -> None:
    time = FakeTime(
        lambda: daemon.accept(accepted("Unknown")),
        lambda: daemon.accept(accepted("True")),
    )
    assert apply_beside_daemon(time) == (
        0,
        "ipv6network.dockerv6.io/blog ready\n",
        "dockerv6 (process 4711) is running: waiting for it\n",
    )


def test_apply_times_out_waiting_for_a_running_daemon(
    apply_beside_daemon: Callable[[FakeTime], tuple[int, str, str]],
) -> None:
    time = FakeTime()
    code, stdout, _ = apply_beside_daemon(time)
    assert (code, time.elapsed) == (1, 10)
    assert stdout == "ipv6network.dockerv6.io/blog not ready (Progressing): the daemon has not read its file yet\n"


WHERE = Position("a.yaml", 3, 5)
BLOG = decode({"apiVersion": API_VERSION, "kind": NETWORK, "metadata": {"name": "blog"}}).resource
WANTED = Snapshot(resources=(SourcedResource(BLOG, WHERE),))


def status_of(snapshot: Snapshot, **fields: object) -> ApplyStatus:
    [found] = apply_statuses(snapshot, [stored("blog", **fields)] if fields else [])  # type: ignore[arg-type]
    return found


def accepted_status(status: Mapping[str, object], **fields: object) -> ApplyStatus:
    return status_of(WANTED, digest=digest(BLOG), status=status, **fields)


def test_ready_for_the_newest_version_is_final() -> None:
    found = accepted_status(ready())
    assert (found.ready, found.final, found.reason) == (True, True, "ReconcileSucceeded")


def test_a_file_that_the_daemon_has_not_read_is_not_ready() -> None:
    assert status_of(WANTED) == ApplyStatus(
        NETWORK, "blog", False, "Progressing", "the daemon has not read its file yet", False
    )
    assert not status_of(WANTED, digest="older", status=ready()).final
    assert not accepted_status(ready(), deleting_since=NOW).ready
    assert not accepted_status(ready(), problem="of the version before").ready


def test_a_status_of_an_earlier_version_is_not_final() -> None:
    found = accepted_status(ready(observed=1), generation=2)
    assert (found.ready, found.final) == (False, False)


def test_not_ready_is_final_only_when_stalled() -> None:
    assert not accepted_status(ready("False", reason="EngineUnavailable")).final
    conditions = [condition("Ready", "False", "SubnetOverlap"), condition("Stalled", "True", "SubnetOverlap")]
    found = accepted_status({"observedGeneration": 1, "conditions": conditions})
    assert (found.ready, found.final, found.reason) == (False, True, "SubnetOverlap")


def test_an_invalid_file_is_final() -> None:
    wrong = Diagnostic(WHERE, Severity.ERROR, ("spec", "x"), "bad", "correct it")
    snapshot = Snapshot(invalid=(InvalidResource(NETWORK, "blog", WHERE, (wrong,)), InvalidResource("", "", WHERE, ())))
    found = status_of(snapshot, status=ready())
    assert (found.ready, found.final, found.reason) == (False, True, "InvalidSpec")
    assert found.message == "a.yaml:3:5: error: spec.x: bad; correct it"


def test_a_deletion_is_not_final() -> None:
    assert status_of(Snapshot(), status=ready()).message == "its file was deleted; the daemon will delete it"
    waiting = status_of(Snapshot(), deleting_since=NOW, status=ready("False", reason="EndpointsAttached"))
    assert (waiting.ready, waiting.final, waiting.reason) == (False, False, "EndpointsAttached")


def test_a_held_deletion_is_final() -> None:
    held = {"conditions": [condition("Ready", "True", "InSync"), condition("PruneHeld", "True", "PruneHeld")]}
    found = status_of(Snapshot(), status=held)
    assert (found.ready, found.final, found.reason) == (False, True, "PruneHeld")


def test_resources_without_a_file_are_ignored() -> None:
    assert apply_statuses(Snapshot(), [stored("default", "IPv6Pool", file="")]) == ()


def plan_file(tmp_path: Path) -> Path:
    file = tmp_path / "blog.plan"
    file.write_text(SavedPlan(PlanOrigin("0", "1", "dockerv6", "web1"), ()).encode())
    return file


def test_a_plan_file_is_applied(monkeypatch: Patch, tmp_path: Path) -> None:
    calls = returning(monkeypatch, process, "apply", ())
    assert run(["apply", str(plan_file(tmp_path))]).exit_code == 0
    assert [type(each) for each in calls[0]] == [Settings, float, SavedPlan]


def test_a_stale_plan_file_is_refused_with_the_difference(monkeypatch: Patch, tmp_path: Path) -> None:
    returning(monkeypatch, process, "apply", PlanRefused("the plan is stale; again", ("-a\x1b", "+b")))
    result = run(["apply", str(plan_file(tmp_path))])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "-a\\x1b\n+b\nError: the plan is stale; again\n"


def test_a_plan_file_is_refused_beside_a_daemon(monkeypatch: Patch, tmp_path: Path) -> None:
    returning(monkeypatch, process, "apply", AlreadyRunning(tmp_path, 7))
    result = run(["apply", str(plan_file(tmp_path))])
    assert result.exit_code == 1
    assert "stop it (systemctl stop dockerv6) to apply a plan file" in result.stderr


def test_what_is_no_plan_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.plan"
    assert "No such file or directory" in run(["apply", str(file)]).stderr
    file.write_text("{}")
    assert (
        run(["apply", str(file)]).stderr == f"Error: {file} is not a plan; make one with `dockerv6 plan --out FILE`\n"
    )
