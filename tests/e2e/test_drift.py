"""Damage is repaired, whether caused by hand, by the reload of a firewall, or by the restart of an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import (
    condition,
    eventually,
    forwarding,
    network_id,
    network_yaml,
    our_table,
    subnet_of,
)
from tests.lab.net import FAR_ADDRESS, ping

if TYPE_CHECKING:
    from tests.lab.lab import Lab
    from tests.lab.operator import Operator

# 20.10-on differs from 20.10-off in its IPv6 rules only, and these tests do not depend on them
pytestmark = pytest.mark.core_cells("20.10-off", "28.5")


def _running(lab: Lab, name: str = "blog") -> tuple[Operator, str]:
    """Start an operator with one ready network and a container on it that can send."""
    operator = lab.operator()
    operator.start()
    operator.apply_yaml(f"{name}.yaml", network_yaml(name))
    operator.wait_ready(f"ipv6network/{name}")
    container = lab.engine.run("web", name, aliases=["www"])
    assert ping(lab.engine, container, FAR_ADDRESS)
    return operator, container


@pytest.mark.parametrize(
    "damage",
    [
        ("flush", "ruleset"),
        ("delete", "table", "inet", "dockerv6"),
        ("flush", "table", "inet", "dockerv6"),
    ],
    ids=" ".join,
)
def test_rules_are_restored(lab: Lab, damage: tuple[str, ...]) -> None:
    operator, container = _running(lab)
    before = _without_handles(our_table(lab.engine))
    lab.engine.netexec("nft", *damage)
    eventually(lambda: _without_handles(our_table(lab.engine)) == before, "the table is restored")
    if damage != ("flush", "ruleset"):  # this also flushes the engine's own tables
        assert ping(lab.engine, container, FAR_ADDRESS)
    eventually(
        lambda: (condition(operator, "blog", "Drifted") or {}).get("reason") == "Restored", "the status reports it"
    )
    assert "Drifted" in operator.cli("events", "ipv6network", "blog").stdout


def _without_handles(listing: str) -> list[str]:
    """The listing without handles and without the order of elements."""
    lines = [line.partition(" # handle ")[0].strip() for line in listing.splitlines()]
    return sorted(part.strip(" {},") for line in lines for part in line.split(","))


def test_a_removed_network_is_recreated_with_its_subnet_and_its_containers(lab: Lab) -> None:
    engine = lab.engine
    operator, container = _running(lab)
    subnet, old = subnet_of(engine, "blog"), network_id(engine, "blog")
    stopped = engine.run("stopped", "blog")
    engine.docker("stop", "-t", "0", stopped)
    engine.docker("network", "disconnect", "-f", "blog", container)
    engine.docker("network", "rm", "blog")
    eventually(lambda: network_id(engine, "blog") not in (None, old), "the network is created again")
    operator.wait_ready("ipv6network/blog")
    assert subnet_of(engine, "blog") == subnet
    eventually(lambda: ping(engine, container, FAR_ADDRESS, deadline=2), "the container is attached again")
    aliases = engine.client().inspect_container(container)["NetworkSettings"]["Networks"]["blog"]["Aliases"]
    assert "www" in aliases
    engine.docker("start", stopped)
    assert ping(engine, stopped, FAR_ADDRESS)


def test_a_deleted_bridge_is_recreated_with_its_containers(lab: Lab) -> None:
    engine = lab.engine
    operator, container = _running(lab)
    old = network_id(engine, "blog")
    engine.netexec("ip", "link", "del", "v6-blog")
    eventually(lambda: network_id(engine, "blog") not in (None, old), "the network is created again")
    operator.wait_ready("ipv6network/blog")
    eventually(lambda: ping(engine, container, FAR_ADDRESS, deadline=2), "the container is attached again")


def test_a_removed_bridge_address_is_restored(lab: Lab) -> None:
    engine = lab.engine
    _, container = _running(lab)
    before = network_id(engine, "blog")
    gateway = engine.netexec("ip", "-6", "-br", "addr", "show", "dev", "v6-blog", "scope", "global").stdout.split()[2]
    engine.netexec("ip", "-6", "addr", "del", gateway, "dev", "v6-blog")
    eventually(
        lambda: gateway in engine.netexec("ip", "-6", "addr", "show", "dev", "v6-blog").stdout,
        "the address is restored",
    )
    engine.netexec("ip", "link", "set", "v6-blog", "down")
    eventually(lambda: ping(engine, container, FAR_ADDRESS, deadline=2), "the bridge is up again")
    assert network_id(engine, "blog") == before


def test_forwarding_is_restored(lab: Lab) -> None:
    _, container = _running(lab)
    lab.engine.netexec("sysctl", "-w", "net.ipv6.conf.all.forwarding=0")
    eventually(lambda: forwarding(lab.engine) == "1", "forwarding is on again")
    assert ping(lab.engine, container, FAR_ADDRESS)


@pytest.mark.cells("28.5", "20.10-on")
def test_the_operator_waits_for_an_engine_that_was_killed(lab: Lab) -> None:
    operator, _ = _running(lab)
    subnet = subnet_of(lab.engine, "blog")
    lab.engine.kill()
    eventually(
        lambda: (condition(operator, "blog", "Ready") or {}).get("reason") == "EngineUnavailable",
        "the status reports it",
    )
    lab.engine.start()
    operator.wait_ready("ipv6network/blog")
    assert subnet_of(lab.engine, "blog") == subnet
    container = lab.engine.run("again", "blog")
    assert ping(lab.engine, container, FAR_ADDRESS)


@pytest.mark.core_cells("20.10-off", "20.10-on", "28.5")
def test_a_host_firewall_that_drops_forwarded_packets_gets_an_accept_rule(lab: Lab) -> None:
    _, container = _running(lab)
    lab.engine.exec("ip6tables", "-P", "FORWARD", "DROP")
    lab.engine.exec("ip6tables", "-F", "FORWARD")
    eventually(lambda: ping(lab.engine, container, FAR_ADDRESS, deadline=1), "allowed flows pass")
