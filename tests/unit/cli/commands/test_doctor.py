import json

import pytest

from dockerv6.daemon import doctor
from dockerv6.daemon.findings import CheckStatus, FindingId, HostCheck
from dockerv6.daemon.settings import Settings
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
    assert calls == [(Settings(),)]


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
