from ipaddress import IPv6Network

import pytest

from dockerv6.store.model import EventType
from tests.unit.cli.harness import NOW, Daemon, ready, run, stored

SUBNET = IPv6Network("fd00::/64")


def sections(text: str) -> dict[str, str]:
    """The sections of the description, by the label at the start of a line."""
    found: dict[str, str] = {}
    title = ""
    for line in text.splitlines():
        if line and not line.startswith(" "):
            title, _, line = line.partition(":")  # noqa: PLW2901 - the rest of it belongs to the section
            found[title] = line.strip()
        else:
            found[title] += f"\n{line}"
    return found


def test_the_source_of_the_resource_is_shown(running: Daemon) -> None:
    running.accept(stored("blog", labels={"app": "x"}, spec={"egress": {"mode": "SNAT"}}, line=7, generation=3))
    result = run(["describe", "v6net", "blog"])
    shown = sections(result.stdout)
    assert shown["Source"] == "/etc/dockerv6.d/blog.yaml:7"
    assert shown["Labels"] == "app=x"
    assert shown["Created"] == "2023-11-14T20:13:20Z (120m ago)"
    assert shown["Generation"] == "3 (observed: 1)"
    assert shown["Spec"] == "\n  egress:\n    mode: SNAT"
    assert result.stderr == ""


def test_a_warning_is_printed_when_no_daemon_is_running(daemon: Daemon) -> None:
    daemon.accept(stored("blog"))
    assert run(["describe", "v6net", "blog"]).stderr.startswith("Warning: no dockerv6 is running with")


def test_the_problem_of_the_newest_version_is_shown(daemon: Daemon) -> None:
    daemon.accept(stored("blog", problem="a.yaml:3:5: error: spec.x: bad; correct it\na.yaml:4:5: error: worse"))
    assert sections(run(["describe", "v6net", "blog"]).stdout)["Problem"] == (
        "\n  The newest version in the source is invalid; the last valid version stays applied."
        "\n  a.yaml:3:5: error: spec.x: bad; correct it"
        "\n  a.yaml:4:5: error: worse"
    )


def test_a_resource_that_was_never_valid_is_not_applied(daemon: Daemon) -> None:
    daemon.accept(stored("blog", problem="bad", generation=0, digest="", status={}))
    shown = sections(run(["describe", "v6net", "blog"]).stdout)
    assert "nothing was applied" in shown["Problem"]
    assert shown["Spec"] == shown["Status"] == "<none>"
    assert "not reconciled yet" in shown["Conditions"]


def test_conditions_endpoints_subnets_and_events_are_shown(daemon: Daemon) -> None:
    daemon.accept(
        stored("blog", status=ready("False", reason="X", endpoints=[{"container": "web", "ipv6": "fd00::2"}]))
    )
    daemon.ledger(lambda ledger: ledger.bind("blog", "default", SUBNET, NOW - 60, revision=None))
    daemon.event(EventType.WARNING, "X", "why", 30, about=("IPv6Network", "blog"))
    daemon.event(EventType.WARNING, "X", "other", 30, about=("IPv6Network", "shop"))
    shown = sections(run(["describe", "v6net", "blog"]).stdout)
    assert shown["Conditions"].split("\n")[2].split() == ["Ready", "False", "5m", "X", "so", "it", "is"]
    assert shown["Endpoints"].split("\n")[2].split() == ["web", "fd00::2"]
    assert shown["Subnets"].split("\n")[2].split() == ["fd00::/64", "blog", "default", "bound", "60s"]
    assert shown["Events"].split("\n")[2].split() == ["30s", "Warning", "X", "why"]
    assert len(shown["Events"].split("\n")) == 3


def test_commands_in_a_message_have_lines_of_their_own(daemon: Daemon) -> None:
    status = ready("False", reason="X")
    status["conditions"][0]["message"] = "dropped; run:\nnft a\nnft b"  # type: ignore[index]
    daemon.accept(stored("blog", status=status))
    lines = sections(run(["describe", "v6net", "blog"]).stdout)["Conditions"].split("\n")
    assert [line.split()[-1] for line in lines[2:]] == ["run:", "a", "b"]
    assert [line.strip() for line in lines[3:]] == ["nft a", "nft b"]


def test_the_allocations_of_a_pool_are_shown(daemon: Daemon) -> None:
    daemon.accept(stored("default", "IPv6Pool", file=""))
    daemon.ledger(lambda ledger: ledger.bind("blog", "default", SUBNET, NOW - 60, revision=None))
    shown = sections(run(["describe", "v6pool", "default"]).stdout)
    assert shown["Source"] == "created by dockerv6"
    assert "fd00::/64   blog" in shown["Subnets"]
    assert "Endpoints" not in shown


def test_a_deletion_in_progress_is_shown(daemon: Daemon) -> None:
    daemon.accept(stored("blog", missing_since=NOW - 20, deleting_since=NOW - 10))
    shown = sections(run(["describe", "v6net", "blog"]).stdout)
    assert shown["Missing"] == "from its source since 2023-11-14T22:13:00Z (20s ago)"
    assert shown["Deleting"] == "since 2023-11-14T22:13:10Z (10s ago)"


def test_without_a_name_all_are_described(daemon: Daemon) -> None:
    daemon.accept(stored("a"), stored("b"))
    assert run(["describe", "v6net"]).stdout.count("Name: ") == 2


def test_a_missing_name_is_an_error(daemon: Daemon) -> None:
    daemon.accept()
    assert run(["describe", "v6net", "x"]).exit_code == 1
    result = run(["describe", "v6net"])
    assert (result.exit_code, result.stderr) == (0, "No resources found\n")


@pytest.mark.parametrize("time", [None, "yesterday"])
def test_a_condition_without_a_time_is_shown(daemon: Daemon, time: object) -> None:
    status = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": time}]}
    daemon.accept(stored("blog", status=status))
    assert "Ready   True     <none>" in run(["describe", "v6net", "blog"]).stdout
