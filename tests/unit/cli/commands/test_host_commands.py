"""The commands run, cleanup and uninstall, with the processes of the daemon replaced."""

import pytest

from dockerv6.daemon import cleanup, preview, process
from dockerv6.daemon.settings import Settings
from dockerv6.dockerd.address import DockerHostError
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.firewall.ipv6nat.presence import IPv6NatPresence
from dockerv6.firewall.ipv6nat.rules import IPv6NatRules
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.port import FirewallRejected
from tests.unit.cli.harness import Patch, returning, run


def test_run_returns_the_exit_code_of_the_daemon(monkeypatch: Patch) -> None:
    calls = returning(monkeypatch, process, "run", 3)
    assert run(["run", "--log-level", "debug"]).exit_code == 3
    assert [settings for settings, _ in calls] == [Settings(log_level="debug")]


@pytest.mark.parametrize("verb", ["run", "apply", "plan", "uninstall"])
@pytest.mark.parametrize("error", [EngineUnavailable("no engine"), DockerHostError("Docker host 'x': can't be used")])
def test_an_expected_error_is_one_line(monkeypatch: Patch, verb: str, error: Exception) -> None:
    where = {"run": process, "apply": process, "plan": preview, "uninstall": process}[verb]
    returning(monkeypatch, where, "preview" if verb == "plan" else verb, error)
    result = run([verb, *(["--yes"] if verb == "uninstall" else [])])
    assert (result.exit_code, result.stderr) == (1, f"Error: {error}\n")


@pytest.mark.parametrize(("options", "verb"), [([], "removed"), (["--dry-run"], "would remove")])
def test_a_cleanup_prints_each_removal(monkeypatch: Patch, options: list[str], verb: str) -> None:
    found = IPv6NatRules(FilterVariant.XTABLES_NFT, (), (("nat", "DOCKER"),), ("br-a",), engine_rules=True)
    calls = returning(monkeypatch, cleanup, "docker_ipv6nat", IPv6NatPresence((found,)))
    result = run(["cleanup", "docker-ipv6nat", *options])
    assert (result.exit_code, result.stdout) == (0, f"{verb} iptables-nft: -t nat -N DOCKER\n")
    assert "restart the engine" in result.stderr
    assert calls == [(Settings(), bool(options))]


def test_nothing_to_clean_up_is_success(monkeypatch: Patch) -> None:
    returning(monkeypatch, cleanup, "docker_ipv6nat", None)
    result = run(["cleanup", "docker-ipv6nat"])
    assert (result.exit_code, result.stderr) == (0, "No rules of docker-ipv6nat found.\n")


def test_a_refusal_is_one_line(monkeypatch: Patch) -> None:
    returning(monkeypatch, cleanup, "docker_ipv6nat", FirewallRejected("it is running: stop it first"))
    result = run(["cleanup", "docker-ipv6nat"])
    assert (result.exit_code, result.stderr) == (1, "Error: it is running: stop it first\n")


def test_other_programs_are_wrong_usage() -> None:
    assert run(["cleanup", "firewalld"]).exit_code == 2


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
