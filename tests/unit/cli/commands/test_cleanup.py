import pytest

from dockerv6.daemon import cleanup
from dockerv6.daemon.settings import Settings
from dockerv6.firewall.ipv6nat.presence import Ipv6NatPresence
from dockerv6.firewall.ipv6nat.rules import Ipv6NatRules
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.port import FirewallRejected
from tests.unit.cli.harness import Patch, returning, run


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
    assert (result.exit_code, result.stderr) == (0, "No rules of docker-ipv6nat found.\n")


def test_a_refusal_is_one_line(monkeypatch: Patch) -> None:
    returning(monkeypatch, cleanup, "docker_ipv6nat", FirewallRejected("it is running: stop it first"))
    result = run(["cleanup", "docker-ipv6nat"])
    assert (result.exit_code, result.stderr) == (1, "Error: it is running: stop it first\n")


def test_other_programs_are_wrong_usage() -> None:
    assert run(["cleanup", "firewalld"]).exit_code == 2
