import json
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dockerv6.cli import engine_fix
from dockerv6.cli.main import main
from dockerv6.daemon import doctor, engine_change
from dockerv6.daemon.engine_process import EngineProcess
from dockerv6.daemon.findings import CheckStatus, FindingId, HostCheck
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.model import EngineInfo
from dockerv6.probe.targets import ProbeRequest, ProbeTarget
from tests.unit.cli.harness import Patch, returning, run

FINE = HostCheck("kernel", CheckStatus.OK, "6.1.0")
ODD = HostCheck("daemon", CheckStatus.WARN, "not running", ("start it",), FindingId.DAEMON_NOT_RUNNING)
BAD = HostCheck("nf_tables", CheckStatus.FAIL, "no", ("load it", "or else"), FindingId.FIREWALL_UNAVAILABLE)


def test_each_check_and_each_step_is_a_line(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, doctor, "examine", (FINE, ODD, BAD))
    result = run(["doctor"])
    assert result.exit_code == 1
    assert result.stdout == (
        "ok    kernel     6.1.0\n"
        "warn  daemon     not running [DaemonNotRunning]\n"
        "                 -> start it\n"
        "fail  nf_tables  no [FirewallUnavailable]\n"
        "                 1. load it\n"
        "                 2. or else\n"
    )
    assert result.stderr == "3 checks: 1 ok, 1 warning, 1 failure\n"
    assert calls == [(Settings(), None)]


@pytest.mark.parametrize(("found", "code"), [((FINE,), 0), ((FINE, ODD), 0), ((BAD, FINE), 1), ((), 0)])
def test_only_a_failed_check_fails(monkeypatch: Patch, found: tuple[HostCheck, ...], code: int) -> None:
    returning(monkeypatch, doctor, "examine", found)
    assert run(["doctor"]).exit_code == code


def test_json_has_the_same_content(monkeypatch: Patch) -> None:
    returning(monkeypatch, doctor, "examine", (FINE, ODD))
    result = run(["doctor", "-o", "json"])
    assert json.loads(result.stdout) == {
        "apiVersion": "dockerv6.io/v1alpha1",
        "kind": "DoctorReport",
        "status": "warn",
        "checks": [
            {"name": "kernel", "status": "ok", "id": None, "message": "6.1.0", "remedy": []},
            {
                "name": "daemon",
                "status": "warn",
                "id": "DaemonNotRunning",
                "message": "not running",
                "remedy": ["start it"],
            },
        ],
    }
    assert result.stderr == ""


def test_explain_needs_no_host_and_ignores_case(monkeypatch: Patch) -> None:
    returning(monkeypatch, doctor, "examine", AssertionError())
    shown = run(["doctor", "--explain", "routeconflict"])
    assert (shown.exit_code, shown.stdout.partition("\n")[0]) == (0, "RouteConflict")
    wrong = run(["doctor", "--explain", "RoutConflict"])
    assert (wrong.exit_code, wrong.stderr) == (
        1,
        "Error: there is no finding 'RoutConflict'; did you mean RouteConflict?\n",
    )


@pytest.mark.parametrize(
    "options",
    [
        *(["--yes"], ["--dry-run"], ["--restart-engine"], ["--fix", "-o", "json"]),
        *(["--explain", "RouteConflict", *other] for other in (["--fix"], ["-o", "json"], ["--probe"], ["blog"])),
        *(["--explain", "RouteConflict", each] for each in ("--yes", "--dry-run", "--restart-engine")),
        *(["--explain", "RouteConflict", each, "x.example"] for each in ("--probe-image", "--probe-target")),
    ],
    ids=str,
)
def test_options_of_fix_go_with_it_only(monkeypatch: Patch, options: list[str]) -> None:
    returning(monkeypatch, doctor, "examine", AssertionError())
    assert run(["doctor", *options]).exit_code == 2


class Change:
    """A change that writes nothing, and what was done with it."""

    def __init__(self, *findings: HostCheck, containers: int = 2, live_restore: bool = False, lines: int = 1) -> None:
        self.findings, self.containers, self.done = findings, containers, list[str]()
        self.info = EngineInfo("host", "28.5.0", (28, 5), "1.51", live_restore=live_restore)
        self.engine = EngineProcess(1, Path("/dockerd"), (), {}, Path("/etc/docker/daemon.json"), "docker.service")
        self.path, self._lines = self.engine.config, lines

    def diff(self) -> tuple[str, ...]:
        return ("+\tipv6",) * self._lines

    def check(self, *, restart: bool) -> None:
        self.done.append("checked for a restart" if restart else "checked")

    def apply(self) -> Path:
        self.done.append("applied")
        return Path("/etc/docker/daemon.json.dockerv6-1")

    def restart(self, *_: object) -> None:
        self.done.append("restarted")


FIXABLE = HostCheck("engine settings", CheckStatus.FAIL, "no", (), FindingId.ENGINE_SETTINGS_REFUSED, {"ipv6": True})


def fixing(
    monkeypatch: Patch,
    change: Change | None,
    *options: str,
    answer: str | None = None,
    after: tuple[HostCheck, ...] = (),
) -> Result:
    found = iter([(FIXABLE,), after])
    monkeypatch.setattr(doctor, "examine", lambda *_: next(found))
    returning(monkeypatch, engine_change, "propose", change)
    monkeypatch.setattr(engine_fix, "interactive", lambda: answer is not None)
    return CliRunner().invoke(main, ["doctor", "--fix", *options], input=answer)


@pytest.mark.parametrize(
    ("options", "answer", "code", "done"),
    [
        ([], None, 2, ["checked"]),
        (["--dry-run"], "y\n", 2, ["checked"]),
        (["--dry-run", "--yes"], None, 2, ["checked"]),
        ([], "n\n", 2, ["checked"]),
        ([], "y\n", 0, ["checked", "applied"]),
        (["--yes"], None, 0, ["checked", "applied"]),
        (["--restart-engine"], None, 2, ["checked for a restart"]),
        (["--restart-engine"], "y\n", 0, ["checked for a restart", "applied", "restarted"]),
    ],
    ids=str,
)
def test_a_change_is_shown_and_applied_only_when_somebody_says_so(
    monkeypatch: Patch, options: list[str], answer: str | None, code: int, done: list[str]
) -> None:
    change = Change(FIXABLE)
    monkeypatch.setattr(EngineProcess, "is_restartable", lambda _: False)
    result = fixing(monkeypatch, change, *options, answer=answer)
    assert (result.exit_code, change.done) == (code, done), result.stderr
    assert "+\tipv6\n" in result.stdout
    if "applied" in done:
        if "restarted" not in done:  # the process is not the main one of docker.service
            assert "Restart the engine now or later: in the way it was started" in result.stderr
        assert "  mv /etc/docker/daemon.json.dockerv6-1 /etc/docker/daemon.json\n" in result.stderr


@pytest.mark.parametrize(
    ("containers", "live_restore", "consequence"),
    [
        (1, False, "1 running container {} be stopped; those with a restart policy start again"),
        (0, True, "0 running containers {} be stopped"),
        (2, True, "2 running containers {} keep running (live-restore). While a container runs"),
    ],
)
def test_what_a_restart_does_to_containers_is_printed_before(
    monkeypatch: Patch,
    containers: int,
    live_restore: bool,  # noqa: FBT001
    consequence: str,
) -> None:
    change = Change(FIXABLE, containers=containers, live_restore=live_restore)
    for option, will in {"--dry-run": "would", "--yes": "will"}.items():
        result = fixing(monkeypatch, change, "--restart-engine", option)
        assert f"The engine {will} be restarted. {consequence.format(will)}" in result.stderr


def test_a_finding_that_is_still_there_after_the_restart_is_an_error(monkeypatch: Patch) -> None:
    result = fixing(monkeypatch, Change(FIXABLE), "--yes", "--restart-engine", after=(FINE, FIXABLE))
    assert (result.exit_code, "but this remains: EngineSettingsRefused: no" in result.stderr) == (1, True)


def test_without_a_change_only_a_restart_helps_and_it_has_to_be_asked_for(monkeypatch: Patch) -> None:
    change = Change(FIXABLE, lines=0)
    for restartable, how in {True: "add --restart-engine", False: "restart it in the way it was started"}.items():
        monkeypatch.setattr(EngineProcess, "is_restartable", lambda _, restartable=restartable: restartable)
        result = fixing(monkeypatch, change, "--yes")
        assert (result.exit_code, change.done, f"needs a restart: {how}.\n" in result.stderr) == (1, [], True)
    assert "can solve none of these" in fixing(monkeypatch, None, "--yes").stderr


def test_an_interruption_of_the_restart_says_what_is_left(monkeypatch: Patch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Change, "restart", interrupted)
    result = fixing(monkeypatch, Change(FIXABLE), "--yes", "--restart-engine")
    assert result.exit_code == 130
    assert "daemon.json is what it was before. Restart the engine with it: systemctl restart docker.service" in (
        result.stderr
    )


def test_a_probe_is_requested_with_networks_targets_and_an_image(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, doctor, "examine", (FINE,))
    argv = ["doctor", "--probe", "blog", "--probe-image", "busybox", "--probe-target", "[2001:db8::1]:443"]
    assert run(argv).exit_code == 0
    target = ProbeTarget("2001:db8::1", IPv6Address("2001:db8::1"), 443)
    assert calls == [(Settings(), ProbeRequest(("blog",), "busybox", (target,)))]


@pytest.mark.parametrize("argv", [["blog"], ["--probe-image", "busybox"], ["--probe-target", "www.example.org"]])
def test_what_belongs_to_a_probe_needs_it(argv: list[str]) -> None:
    result = run(["doctor", *argv])
    assert result.exit_code == 2
    assert "need --probe" in result.stderr


def test_a_target_that_is_none_is_refused() -> None:
    result = run(["doctor", "--probe", "--probe-target", "192.0.2.1"])
    assert result.exit_code == 2
    assert "name a host with a global or unique local IPv6 address" in result.stderr
