"""ipr-cnrs/nftables#70: a flush of the engine's chains must be named (also docker/for-linux#1472)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import condition, eventually, has_condition, network_id, network_yaml, our_table, wait_no_changes
from tests.lab.process import CommandFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.reports.host import Host
    from tests.lab.firewalls import HostFirewalls
    from tests.lab.lab import Lab
    from tests.lab.operator import Operator

MISSING = "EngineChainsMissing"
REMEDY = "run `systemctl restart docker`"


def flush(lab: Lab) -> None:
    """As each author did, with what the engine's variant of iptables has."""
    if lab.engine.settings.xtables == "nft":
        lab.engine.netexec("nft", "flush", "ruleset")
        return
    for program in ("iptables", "ip6tables"):
        for table in ("nat", "filter", "mangle"):
            lab.engine.exec(program, "-w", "-t", table, "-F")
            lab.engine.exec(program, "-w", "-t", table, "-X")


def ready_network(lab: Lab) -> Operator:
    operator = lab.operator()
    operator.apply_yaml("blog.yaml", network_yaml("blog", {"updateStrategy": "Recreate"}))
    operator.start()
    operator.wait_ready("ipv6network/blog")
    lab.engine.run("web", "blog", ports={"80/tcp": 8080})
    return operator


@pytest.mark.core_cells("20.10-on", "20.10-off-legacy-proxy", "28.5")
def test_the_flush_is_noticed_and_nothing_is_taken_away_until_the_engine_is_restarted(lab: Lab) -> None:
    operator = ready_network(lab)
    flush(lab)
    eventually(has_condition(operator, "blog", "HostReady", "False", MISSING), "the flush is noticed")
    found = condition(operator, "blog", "Ready")
    assert found is not None
    assert found["status"] == "False"
    assert REMEDY in found["message"]
    eventually(lambda: REMEDY in operator.cli("doctor", check=False).stdout, "doctor names it")
    assert operator.cli("doctor", check=False).returncode == 1
    operator.stop()
    doctor = operator.cli("doctor", check=False)
    assert doctor.returncode == 1
    assert "the engine's chains are gone" in doctor.stdout
    operator.start()
    # a change that recreates the network waits, and the container keeps the one that it has
    before = network_id(lab.engine, "blog")
    operator.apply_yaml("blog.yaml", network_yaml("blog", {"updateStrategy": "Recreate", "labels": {"new": "1"}}))

    def waits() -> bool:
        found = condition(operator, "blog", "HostReady")
        return found is not None and "this waits for it: detach container web" in found["message"]

    eventually(waits, "the recreation waits")
    plan = operator.cli("plan", check=False)
    assert plan.returncode == 1
    assert REMEDY in plan.stdout
    assert network_id(lab.engine, "blog") == before
    assert lab.engine.container_addresses("web", "blog")["6"]
    lab.engine.restart()
    operator.wait_ready("ipv6network/blog")
    eventually(lambda: network_id(lab.engine, "blog") not in (None, before), "it is recreated")
    eventually(lambda: operator.cli("doctor", check=False).returncode == 0, "doctor is content")


@pytest.mark.core_cells("28.5")
def test_a_removed_network_says_what_waits_in_the_terms_of_the_user(lab: Lab) -> None:
    operator = ready_network(lab)
    flush(lab)
    lab.engine.docker("rm", "-f", "web")
    lab.engine.docker("network", "rm", "blog")
    eventually(has_condition(operator, "blog", "HostReady", "False", MISSING), "the flush is noticed")
    eventually(lambda: "create Docker network blog" in str(condition(operator, "blog", "Ready")), "what waits")
    for each in ("Ready", "NetworkReady", "HostReady", "FirewallReady"):
        found = condition(operator, "blog", each)
        assert found is not None
        assert "iptables failed" not in found["message"]
        assert "HTTP" not in found["message"]
    with pytest.raises(CommandFailedError, match=MISSING):
        operator.wait_ready("ipv6network/blog", timeout=1)
    lab.engine.restart()
    operator.wait_ready("ipv6network/blog")


@pytest.mark.core_cells("28.5")
def test_an_engine_without_iptables_misses_no_chains(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(config={"iptables": False, "ip6tables": False})
    operator = ready_network(lab)
    flush(lab)
    eventually(lambda: our_table(lab.engine), "our rules are back")
    lab.engine.docker("network", "create", "other")
    operator.wait_ready("ipv6network/blog")
    wait_no_changes(operator)


@pytest.mark.core_cells("28.5")
def test_a_reload_of_firewalld_leaves_no_alarm(firewalld: tuple[Host, HostFirewalls]) -> None:
    host, firewalls = firewalld
    host.operator.apply_yaml("blog.yaml", network_yaml("blog"))
    host.start()
    host.operator.wait_ready("ipv6network/blog")
    for _ in range(3):
        firewalls.firewall_cmd("--reload")

    def creates() -> bool:
        return host.engine.docker("network", "create", "other", check=False).returncode == 0

    eventually(creates, "the engine has its chains again, by itself")
    eventually(has_condition(host.operator, "blog", "Ready", "True", "ReconcileSucceeded"), "it is Ready")
    # a unit test has the grace period on a simulated clock: on a busy machine, an engine takes longer than that
    wait_no_changes(host.operator)
