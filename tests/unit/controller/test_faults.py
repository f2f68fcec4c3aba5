"""An exception in a computation for one network, container or resource harms that one only, and is visible."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockerv6.controller import contributions
from dockerv6.controller.fault_isolation import Faults
from dockerv6.dockerd.model import Container, Network, SubnetConfig
from dockerv6.firewall.model import FirewallIntent
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.planning import policy as planning_policy
from dockerv6.planning.firewall import desired as planning_desired
from dockerv6.planning.firewall.contributions import FirewallContribution, policy_contribution
from dockerv6.planning.firewall.port_assignment import PortAssignment, assign_ports
from dockerv6.planning.policy import eligible
from tests.simulation.resources import network, policy
from tests.world import Bench, Host

KIND = "IPv6Policy"
BAD = IPv6Network("fd98::/64")


class UnforeseenError(Exception):
    """Raised where no code expects it."""


async def two_networks(*, container: bool = False) -> Host:
    host = Host()
    await host.create_foreign("bad", str(BAD), bridge="br-bad")
    await host.create_foreign("good", "fd99::/64", bridge="br-good")
    for name in ("bad", "good") if container else ():
        host.engine.run_container(f"of-{name}", name, ports=("8080:80" if name == "bad" else "8081:80",))
    return host


async def repaired(bench: Bench) -> None:
    bench.invalidate_all()
    await bench.repair()


def has_rules(host: Host, owner: str, subnet: str) -> bool:
    return any(rule.startswith(f"networks {subnet} ") for rule in host.rules_of(owner))


def is_named(bench: Bench, what: str) -> bool:
    return any(what in fault and "UnforeseenError" in fault for fault in bench.context.firewall.faults)


@pytest.mark.parametrize("length", [126, 127, 128])
async def test_a_foreign_network_of_a_few_addresses_stops_nobody(length: int) -> None:
    host, tiny = Host(), IPv6Network(f"fd98::8/{length}")
    await host.create_foreign("tiny", "fd98::/64", bridge="br-tiny")
    await host.create_foreign("good", "fd99::/64", bridge="br-good")
    bench = await host.bench(policy("all"), network("mine"))
    read = host.engine.networks

    async def networks() -> tuple[Network, ...]:
        found = await read()
        return tuple(replace(n, ipam=(SubnetConfig(tiny),)) if n.name == "tiny" else n for n in found)

    host.engine.networks = networks  # type: ignore[method-assign]
    await repaired(bench)
    await bench.reconcile("mine")
    await bench.reconcile("all", KIND)
    assert has_rules(host, "policy/all", "fd99::/64")
    assert has_rules(host, "policy/all", str(tiny))
    assert host.rules_of("mine")
    assert bench.context.firewall.faults == ()
    assert (await host.ready("all", KIND))[0] == "True"


async def test_a_network_that_can_not_be_evaluated_is_left_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(each: Network) -> bool:
        if each.name == "bad":
            raise UnforeseenError
        return eligible(each)

    monkeypatch.setattr(planning_policy, "eligible", faulty)
    host = await two_networks()
    bench = await host.bench(policy("all"), network("mine"))
    await repaired(bench)
    assert has_rules(host, "policy/all", "fd99::/64")
    assert not has_rules(host, "policy/all", str(BAD))
    assert is_named(bench, "Docker network bad")
    monkeypatch.undo()
    await host.create_foreign("new", "fd97::/64")
    await repaired(bench)
    assert has_rules(host, "policy/all", str(BAD))
    assert bench.context.firewall.faults == ()


async def test_a_network_whose_rules_can_not_be_computed_keeps_those_from_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = await two_networks()
    bench = await host.bench(policy("all"))
    await repaired(bench)

    def faulty(resource: object, networks: tuple[Network, ...], *others: object) -> FirewallContribution:
        if any(n.name == "bad" for n in networks):
            raise UnforeseenError
        return policy_contribution(resource, networks, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(contributions, "policy_contribution", faulty)
    await bench.accept(policy("all", egress={"mode": "None"}))
    await repaired(bench)
    rules = host.rules_of("policy/all")
    assert f"egress_any {BAD}" in rules
    assert "egress_any fd99::/64" not in rules
    assert is_named(bench, "Docker network bad")


@pytest.mark.parametrize("before", [False, True], ids=["never had rules", "had rules"])
async def test_a_resource_whose_rules_can_not_be_rendered_keeps_those_it_has(
    before: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = await two_networks()
    bench = await host.bench(policy("a", selector={"names": ["bad"]}), policy("b", selector={"names": ["good"]}))
    if before:
        await repaired(bench)
    had = host.rules_of("policy/a")

    def faulty(intent: FirewallIntent) -> Ruleset:
        if any(n.subnet == BAD for n in intent.networks):
            raise UnforeseenError
        return render(intent)

    monkeypatch.setattr(planning_desired, "render", faulty)
    await bench.accept(
        *(policy(x, selector={"names": [n]}, egress={"mode": "None"}) for x, n in (("a", "bad"), ("b", "good")))
    )
    for _ in range(2):
        await repaired(bench)
        assert host.rules_of("policy/a") == had
        assert has_rules(host, "policy/b", "fd99::/64")
        assert is_named(bench, "policy/a")
    monkeypatch.undo()
    await bench.accept(policy("b", selector={"names": ["good"]}))
    await repaired(bench)
    assert has_rules(host, "policy/a", str(BAD))
    assert bench.context.firewall.faults == ()


async def test_a_container_whose_ports_can_not_be_assigned_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(networks: object, containers: tuple[Container, ...], *others: object) -> PortAssignment:
        if any(c.name == "of-bad" for c in containers):
            raise UnforeseenError
        return assign_ports(networks, containers, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(planning_desired, "assign_ports", faulty)
    host = await two_networks(container=True)
    bench = await host.bench(policy("all"))
    for _ in range(2):
        await repaired(bench)
        assert host.ports() == {"tcp 8081 ::": "of-good:80"}
        assert is_named(bench, "container of-bad")
    assert has_rules(host, "policy/all", str(BAD))


async def test_an_owner_for_which_no_port_can_be_assigned_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(networks: tuple[object, ...], *others: object) -> PortAssignment:
        if any(n.owner == "policy/a" for n in networks):  # type: ignore[attr-defined]
            raise UnforeseenError
        return assign_ports(networks, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(planning_desired, "assign_ports", faulty)
    host = await two_networks(container=True)
    bench = await host.bench(policy("a", selector={"names": ["bad"]}), policy("b", selector={"names": ["good"]}))
    await repaired(bench)
    assert host.ports() == {"tcp 8081 ::": "of-good:80"}
    assert is_named(bench, "policy/a")


async def test_interfaces_that_can_not_be_evaluated_stay_as_they_were_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(_: object) -> tuple[str, ...]:
        raise UnforeseenError

    host = await two_networks()
    bench = await host.bench(policy("all"))
    await repaired(bench)
    monkeypatch.setattr(contributions, "uplink_bridges", faulty)
    host.firewall.flush_all()
    await bench.accept(policy("all", egress={"mode": "None"}))
    await repaired(bench)
    assert has_rules(host, "policy/all", "fd99::/64")
    assert is_named(bench, "interfaces")


async def test_a_table_from_which_no_ports_can_be_read_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(_: object) -> dict[object, object]:
        raise UnforeseenError

    monkeypatch.setattr(contributions, "published_ports", faulty)
    host = await two_networks()
    bench = await host.bench(policy("all"))
    await repaired(bench)
    assert has_rules(host, "policy/all", "fd99::/64")


async def test_faults_are_problems_of_the_host_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(each: Network) -> bool:
        if each.name == "bad":
            raise UnforeseenError
        return eligible(each)

    host = await two_networks()
    host.files.write(policy("all"))
    async with host.running() as running:
        await running.let(15)
        assert not running.context.problems.check()
        monkeypatch.setattr(planning_policy, "eligible", faulty)
        await host.create_foreign("new", "fd97::/64")
        await running.let(15)
        assert "Docker network bad" in running.context.problems.check()
        assert [e.reason for e in await host.events("rules", "Host")] == ["InternalError"]
        monkeypatch.undo()
        await host.create_foreign("newer", "fd96::/64")
        await running.let(15)
        assert not running.context.problems.check()


def test_each_new_fault_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()

    def raising(message: str) -> Callable[[], None]:
        def compute() -> None:
            raise UnforeseenError(message)

        return compute

    for message in ("a", "a", "b"):
        faults.begin()
        assert faults.contained("it is lost", raising(message), None) is None
    assert len(caplog.records) == 2
    assert all(record.exc_info for record in caplog.records)
