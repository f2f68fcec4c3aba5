"""What is reported of docker-ipv6nat. Its rules are found and removed in tests/host/test_ipv6nat.py."""

from pathlib import Path

from dockerv6.firewall.ipv6nat.presence import IPv6NatPresence, running_processes
from dockerv6.firewall.ipv6nat.rules import IPv6NatRules
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.xtables.rule import ListedRule, PlainTarget, XtablesRule

RULE = ListedRule("nat", "POSTROUTING", XtablesRule(PlainTarget.MASQUERADE, oif="br-a", destination_type="LOCAL"))
LEFT = IPv6NatRules(FilterVariant.XTABLES_NFT, (RULE,), (("nat", "DOCKER"),), ("br-a",), engine_rules=False)
REMEDY = "`dockerv6 doctor` lists the steps of a migration"


def test_a_running_one_is_named_by_its_process() -> None:
    presence = IPv6NatPresence((), (4711,))
    assert presence.message == (
        f"docker-ipv6nat is running (process 4711): it translates the same packets as dockerv6; {REMEDY}"
    )
    assert "with 1 rule in iptables-nft for br-a" in IPv6NatPresence((LEFT,), (4711,)).summary


def test_rules_that_it_left_are_counted_and_named() -> None:
    assert IPv6NatPresence((LEFT,)).message == (
        "docker-ipv6nat is not seen running but left 1 rule in iptables-nft for br-a, which still translate packets; "
        + REMEDY
    )


def test_each_rule_and_chain_is_a_line() -> None:
    assert IPv6NatPresence((LEFT,)).lines == (
        "iptables-nft: -t nat -A POSTROUTING -o br-a -m addrtype --dst-type LOCAL -j MASQUERADE",
        "iptables-nft: -t nat -N DOCKER",
    )


def process(proc: Path, name: str, command: str, network: str) -> None:
    (proc / name / "net").mkdir(parents=True)
    (proc / name / "comm").write_text(f"{command}\n")
    file = proc / network
    file.touch()
    (proc / name / "net" / "dev").hardlink_to(file)


def test_only_its_processes_in_our_network_namespace_count(tmp_path: Path) -> None:
    process(tmp_path, "thread-self", "pytest", "ours")
    process(tmp_path, "20", "docker-ipv6nat", "ours")
    process(tmp_path, "7", "docker-ipv6nat", "ours")
    process(tmp_path, "8", "docker-ipv6nat", "another")
    process(tmp_path, "9", "dockerd", "ours")
    (tmp_path / "10").mkdir()  # it ended while we looked
    assert running_processes(tmp_path) == (7, 20)
