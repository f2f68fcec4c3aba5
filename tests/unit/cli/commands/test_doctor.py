import json

import pytest

from dockerv6.daemon import cleanup, doctor
from dockerv6.daemon.checks import CheckStatus, HostCheck
from dockerv6.daemon.settings import Settings
from dockerv6.firewall.ipv6nat.presence import Ipv6NatPresence
from dockerv6.firewall.ipv6nat.rules import Ipv6NatRules
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.port import FirewallRejected
from tests.unit.cli.commands.test_acting import Patch, returning
from tests.unit.cli.harness import run

FINE = HostCheck("kernel", CheckStatus.OK, "6.1.0")
ODD = HostCheck("daemon", CheckStatus.WARN, "not running", ("start it",))
BAD = HostCheck("nf_tables", CheckStatus.FAIL, "no", ("load it", "or else"))


def test_each_finding_is_a_line_and_each_step_another(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, doctor, "examine", (FINE, ODD, BAD))
    result = run(["doctor"])
    assert result.exit_code == 1
    assert result.stdout == (
        "ok    kernel     6.1.0\n"
        "warn  daemon     not running\n"
        "                 -> start it\n"
        "fail  nf_tables  no\n"
        "                 1. load it\n"
        "                 2. or else\n"
    )
    assert result.stderr == "3 checks: 1 ok, 1 warning, 1 failure\n"
    assert calls == [(Settings(),)]


@pytest.mark.parametrize(("found", "code"), [((FINE,), 0), ((FINE, ODD), 0), ((BAD, FINE), 1), ((), 0)])
def test_only_a_failure_fails(monkeypatch: Patch, found: tuple[HostCheck, ...], code: int) -> None:
    returning(monkeypatch, doctor, "examine", found)
    assert run(["doctor"]).exit_code == code


def test_programs_get_the_same(monkeypatch: Patch) -> None:
    returning(monkeypatch, doctor, "examine", (FINE, ODD))
    result = run(["doctor", "-o", "json"])
    assert json.loads(result.stdout) == {
        "apiVersion": "dockerv6.io/v1alpha1",
        "kind": "DoctorReport",
        "status": "warn",
        "checks": [
            {"name": "kernel", "status": "ok", "message": "6.1.0", "remedy": []},
            {"name": "daemon", "status": "warn", "message": "not running", "remedy": ["start it"]},
        ],
    }
    assert result.stderr == ""


@pytest.mark.parametrize(("options", "verb"), [([], "removed"), (["--dry-run"], "would remove")])
def test_a_cleanup_prints_each_removal(monkeypatch: Patch, options: list[str], verb: str) -> None:
    found = Ipv6NatRules(FilterVariant.XTABLES_NFT, (), (("nat", "DOCKER"),), ("br-a",), engine_rules=True)
    calls = returning(monkeypatch, cleanup, "docker_ipv6nat", Ipv6NatPresence((found,)))
    result = run(["cleanup", "docker-ipv6nat", *options])
    assert (result.exit_code, result.stdout) == (0, f"{verb} iptables-nft: -t nat -N DOCKER\n")
    assert "restart the engine" in result.stderr
    assert calls == [(Settings(), bool(options))]


def test_nothing_to_clean_up_is_success(monkeypatch: Patch) -> None:
    returning(monkeypatch, cleanup, "docker_ipv6nat", None)
    result = run(["cleanup", "docker-ipv6nat"])
    assert (result.exit_code, result.stderr) == (0, "Found nothing of docker-ipv6nat to remove.\n")


def test_a_refusal_is_one_line(monkeypatch: Patch) -> None:
    returning(monkeypatch, cleanup, "docker_ipv6nat", FirewallRejected("it is running: stop it first"))
    result = run(["cleanup", "docker-ipv6nat"])
    assert (result.exit_code, result.stderr) == (1, "Error: it is running: stop it first\n")


def test_other_programs_are_not_known() -> None:
    assert run(["cleanup", "firewalld"]).exit_code == 2
