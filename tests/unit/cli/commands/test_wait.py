from pathlib import Path
from typing import Any

import pytest

from dockerv6.cli.state import POLL_INTERVAL
from tests.unit.cli.harness import NOW, Daemon, FakeTime, condition, ready, run, stored


def test_a_ready_resource_is_not_waited_for(running: Daemon) -> None:
    running.accept(stored("blog"))
    time = FakeTime()
    result = run(["wait", "v6net/blog"], time)
    assert (result.exit_code, result.stdout) == (0, "ipv6network.dockerv6.io/blog condition met\n")
    assert time.elapsed == 0


def test_kind_and_name_may_be_two_arguments(running: Daemon) -> None:
    running.accept(stored("blog"), stored("shop"))
    assert run(["wait", "v6net", "blog", "shop"]).stdout.count("condition met") == 2


def test_it_ends_as_soon_as_the_resource_is_ready(running: Daemon) -> None:
    running.accept(stored("blog", status=ready("Unknown")))
    time = FakeTime(lambda: None, lambda: running.accept(stored("blog")))
    assert run(["wait", "v6net/blog"], time).exit_code == 0
    assert time.elapsed == 2 * POLL_INTERVAL


def test_a_status_of_an_earlier_version_does_not_count(running: Daemon) -> None:
    running.accept(stored("blog", generation=2, status=ready(observed=1)))
    result = run(["wait", "v6net/blog", "--timeout=1s"])
    assert result.exit_code == 1
    assert "its newest version (generation 2) is not reconciled yet" in result.stderr


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"problem": "a.yaml:1:1: error: bad"}, "the newest version in the source is invalid: a.yaml:1:1: error: bad"),
        ({"deleting_since": NOW}, "it is being deleted; Ready=True (ReconcileSucceeded): so it is"),
    ],
)
def test_a_changed_file_makes_the_resource_not_ready(running: Daemon, fields: dict[str, Any], message: str) -> None:
    running.accept(stored("blog", **fields))
    assert f"ipv6network/blog: {message}\n" in run(["wait", "v6net/blog", "--timeout=0"]).stderr


def test_waits_for_a_resource_that_does_not_exist_yet(running: Daemon) -> None:
    running.accept()
    assert run(["wait", "v6net/blog"], FakeTime(lambda: running.accept(stored("blog")))).exit_code == 0
    assert "ipv6network/shop: it does not exist" in run(["wait", "v6net/shop", "--timeout", "0"]).stderr


def test_waits_for_a_daemon_that_has_not_run_yet(running: Daemon) -> None:
    assert run(["wait", "v6net/blog"], FakeTime(lambda: running.accept(stored("blog")))).exit_code == 0


def test_the_error_has_the_actual_condition(running: Daemon) -> None:
    running.accept(stored("blog", status=ready("False", reason="SubnetOverlap")), stored("shop"))
    time = FakeTime()
    result = run(["wait", "v6net/blog", "v6net/shop", "--timeout=30s"], time)
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: timed out waiting for condition Ready=True: ipv6network/blog: Ready=False (SubnetOverlap): so it is\n",
    )
    assert time.elapsed == 30


def test_the_error_says_when_no_daemon_is_running(daemon: Daemon) -> None:
    daemon.accept(stored("blog", status=ready("False")))
    assert f"(no dockerv6 is running with {daemon.directory})" in run(["wait", "v6net/blog", "--timeout=0"]).stderr


def test_what_no_daemon_keeps_up_is_not_met(daemon: Daemon) -> None:
    daemon.accept(stored("blog"))
    result = run(["wait", "v6net/blog", "--timeout=1s"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"Ready=True: no dockerv6 is running with {daemon.directory}: this is the state of 0s ago" in result.stderr


def test_warnings_are_printed_when_the_condition_is_met(running: Daemon) -> None:
    narrow = condition("HostReady", "Unknown", "MTUMismatch", "set spec.bridge.mtu: 1280")
    waits = condition("NetworkReady", "Unknown", "DependencyNotReady", "waits")
    conditions = [condition("Ready", "True", "ReconcileSucceeded"), narrow, waits]
    running.accept(stored("blog", status={"observedGeneration": 1, "conditions": conditions}))
    result = run(["wait", "v6net/blog"])
    assert result.exit_code == 0
    assert result.stderr == "Warning: ipv6network/blog: HostReady MTUMismatch: set spec.bridge.mtu: 1280\n"


@pytest.mark.parametrize("goal", ["condition=Ready=False", "condition=ready=false"])
def test_waits_for_another_status(running: Daemon, goal: str) -> None:
    running.accept(stored("blog", status=ready("False")))
    assert run(["wait", "v6net/blog", "--for", goal]).exit_code == 0


def test_a_missing_condition_is_not_met(running: Daemon) -> None:
    running.accept(stored("blog"))
    result = run(["wait", "v6net/blog", "--for=condition=Stalled", "--timeout=0"])
    assert "ipv6network/blog: it has no condition Stalled" in result.stderr


@pytest.mark.parametrize("goal", ["", "condition", "condition=", "jsonpath=", "deleted"])
def test_an_invalid_condition_is_wrong_usage(goal: str) -> None:
    assert run(["wait", "v6net/blog", "--for", goal]).exit_code == 2


def test_waits_for_a_deletion(running: Daemon) -> None:
    running.accept(stored("blog"))
    result = run(["wait", "v6net/blog", "--for=delete"], FakeTime(lambda: running.remove("IPv6Network", "blog")))
    assert (result.exit_code, result.stdout) == (0, "ipv6network.dockerv6.io/blog deleted\n")


@pytest.mark.parametrize(("since", "message"), [(NOW, "it is being deleted"), (None, "it is not being deleted")])
def test_the_error_of_a_deletion_has_the_actual_state(running: Daemon, since: float | None, message: str) -> None:
    running.accept(stored("blog", deleting_since=since, status=ready("False", reason="EndpointsAttached")))
    result = run(["wait", "v6net/blog", "--for=delete", "--timeout=1s"])
    assert f"{message}; Ready=False (EndpointsAttached): so it is" in result.stderr


def test_a_wrong_state_directory_is_not_a_deletion(tmp_path: Path) -> None:
    result = run(["wait", "v6net/blog", "--for=delete", "--state-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "there is no" in result.stderr


def test_all_waits_for_every_resource(running: Daemon) -> None:
    running.accept(stored("a"), stored("b", status=ready("False")), stored("p", "IPv6Pool"))
    time = FakeTime(lambda: running.accept(stored("b")))
    result = run(["wait", "--all"], time)
    assert [line.split()[0].partition("/")[2] for line in result.stdout.splitlines()] == ["a", "b", "p"]
    assert time.elapsed == POLL_INTERVAL


def test_all_waits_for_at_least_one_resource(running: Daemon) -> None:
    running.accept()
    assert "no resource exists yet" in run(["wait", "--all", "--timeout=1s"]).stderr
    assert run(["wait", "v6net", "--all"], FakeTime(lambda: running.accept(stored("a")))).exit_code == 0


def test_all_waits_for_deletions(running: Daemon) -> None:
    running.accept(stored("a"), stored("b"))
    gone = (lambda: running.remove("IPv6Network", "a"), lambda: running.remove("IPv6Network", "b"))
    assert run(["wait", "v6net", "--all", "--for=delete"], FakeTime(*gone)).stdout.count("deleted") == 2


@pytest.mark.parametrize("words", [[], ["v6net"]])
def test_without_a_name_it_is_wrong_usage(words: list[str]) -> None:
    assert run(["wait", *words]).exit_code == 2


class TestOtherStates:
    """kubectl's other forms of --for."""

    def test_a_value_at_a_jsonpath(self, running: Daemon) -> None:
        running.accept(stored(status=ready(containers=2, subnet="fd00::/64", list=["a", "b"])))

        def code(awaited: str) -> int:
            return run(["wait", "v6net/blog", f"--for=jsonpath={awaited}", "--timeout=0"]).exit_code

        assert code("{.status.containers}=2") == 0
        assert code(".status.containers=2") == 0
        assert code("{.status.subnet}='fd00::/64'") == 0
        assert code("{.status.subnet}") == 0
        assert code('{.status.conditions[?(@.type=="Ready")].status}=True') == 0
        assert code("{.status.list[*]}=a") == 1  # all values count
        assert code("{.status.containers}=3") == 1
        assert code("{.status.absent}") == 1

    def test_a_value_of_an_earlier_version_does_not_count(self, running: Daemon) -> None:
        running.accept(stored(generation=2, status=ready(containers=2), spec={"internal": True}))
        result = run(["wait", "v6net/blog", "--for=jsonpath={.status.containers}=2", "--timeout=0"])
        assert "its newest version (generation 2) is not reconciled yet" in result.stderr
        assert run(["wait", "v6net/blog", "--for=jsonpath={.spec.internal}=true", "--timeout=0"]).exit_code == 0

    def test_the_actual_value_is_shown(self, running: Daemon) -> None:
        running.accept(stored(status=ready(containers=2)))
        result = run(["wait", "v6net/blog", "--for=jsonpath={.status.containers}=3", "--timeout=0"])
        assert (
            "timed out waiting for {.status.containers}=3: ipv6network/blog: {.status.containers} is '2'"
            in result.stderr
        )
        result = run(["wait", "v6net/blog", "--for=jsonpath={.status.x}", "--timeout=0"])
        assert "it has nothing at {.status.x}" in result.stderr

    def test_creation(self, running: Daemon) -> None:
        running.accept(stored("other"))
        time = FakeTime(lambda: None, lambda: running.accept(stored()))
        result = run(["wait", "v6net/blog", "--for=create"], time)
        assert (result.exit_code, result.stdout) == (0, "ipv6network.dockerv6.io/blog created\n")
        assert "it does not exist" in run(["wait", "v6net/none", "--for=create", "--timeout=0"]).stderr

    @pytest.mark.parametrize(
        ("awaited", "message"),
        [
            ("condition=Redy", "there is no condition 'Redy'; did you mean Ready?"),
            ("condition=Available", "there is no condition 'Available'; use Ready, "),
            ("condition=Ready=Yes", "'Yes' is not a status of a condition; use True, False or Unknown"),
            ("jsonpath=", "is none of condition=TYPE"),
            ("jsonpath={.a[x]}=1", "brackets have an index"),
            ("create=1", "is none of"),
        ],
    )
    def test_what_does_not_exist_is_refused_at_once(self, running: Daemon, awaited: str, message: str) -> None:
        running.accept(stored())
        time = FakeTime()
        result = run(["wait", "v6net/blog", f"--for={awaited}"], time)
        assert (result.exit_code, time.elapsed) == (2, 0)
        assert message in result.stderr

    def test_letter_case_does_not_matter(self, running: Daemon) -> None:
        running.accept(stored())
        assert run(["wait", "v6net/blog", "--for=Condition=ready=true", "--timeout=0"]).exit_code == 0
