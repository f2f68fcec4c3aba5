import asyncio
from dataclasses import replace

import pytest

from dockerv6.controller.host import FIREWALL, FORWARDING_KEY, HOST_FILTER, reconcile
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.port import FirewallBusy, FirewallRejected, FirewallUnavailable
from dockerv6.firewall.ruleset import EMPTY
from dockerv6.hostnet.model import Interface
from dockerv6.hostnet.port import HostNetError, HostNetPermissionError
from dockerv6.planning.host.sysctls import FORWARDING
from dockerv6.reconciler.handler import Key, TemporaryError
from tests.simulation.coupled import OUR_TABLE
from tests.simulation.resources import network, policy
from tests.world import Bench, Host

FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)


async def made(*names: str) -> Bench:
    bench = await Host().bench(*(network(n) for n in names))
    for name in names:
        await bench.reconcile(name)
    bench.invalidate_all()
    return bench


async def test_the_table_is_repaired_and_each_owner_reports_it() -> None:
    bench = await made("a", "b")
    enqueued: list[str] = []
    bench.context.enqueue = lambda key, _: enqueued.append(key.name)
    bench.host.firewall.flush_all()
    await bench.context.firewall.view()
    await reconcile(FIREWALL, bench.context)
    assert bench.host.rules_of("a")
    assert enqueued == ["a", "b", "host-filter"]
    assert set(bench.context.unreported_repairs) == {"a", "b"}


async def test_one_owners_elements_concern_that_owner() -> None:
    bench = await made("a", "b")
    (each,) = (
        e for s in bench.host.firewall.ruleset.sets if s.name == "networks" for e in s.elements if e.owner == "a"
    )
    bench.host.firewall.delete_element("networks", each)
    await reconcile(FIREWALL, bench.context)
    assert set(bench.context.unreported_repairs) == {"a"}


async def test_the_hosts_filter_is_passed_while_a_network_needs_it() -> None:
    bench = await made("a")
    bench.host.filter.add_forward_drop(FORWARD)
    await reconcile(FIREWALL, bench.context)
    await reconcile(HOST_FILTER, bench.context)
    assert bench.host.filter.accept_rules
    await bench.delete("a")
    await bench.finalize("a")
    await reconcile(FIREWALL, bench.context)
    await reconcile(HOST_FILTER, bench.context)
    assert not bench.host.filter.accept_rules
    assert bench.host.firewall.ruleset == EMPTY


async def test_a_suspended_network_keeps_its_way_through_the_filter() -> None:
    bench = await made("a")
    bench.host.filter.add_forward_drop(FORWARD)
    await reconcile(FIREWALL, bench.context)
    await reconcile(HOST_FILTER, bench.context)
    await bench.accept(network("a", suspend=True))
    await reconcile(FIREWALL, bench.context)
    await reconcile(HOST_FILTER, bench.context)
    assert bench.host.filter.accept_rules


async def test_a_filter_that_fails_keeps_no_rules_from_being_repaired() -> None:
    bench = await made("a")
    bench.host.filter.add_forward_drop(FORWARD)
    bench.host.firewall.flush_all()
    bench.host.filter.fail_next(FirewallBusy("locked"))
    await reconcile(FIREWALL, bench.context)
    assert bench.host.rules_of("a")
    await reconcile(HOST_FILTER, bench.context)  # reading fails, which each status reports
    bench.context.firewall.invalidate_filter()
    await bench.context.firewall.view()
    bench.host.filter.fail_next(FirewallBusy("locked"))
    with pytest.raises(TemporaryError, match="locked"):
        await reconcile(HOST_FILTER, bench.context)


async def test_a_lock_that_is_held_for_long_delays_no_repair() -> None:
    host, held = Host(), asyncio.Event()
    host.filter.add_forward_drop(FORWARD)
    add = host.filter.add_accept_rule

    async def blocked(drop: ForwardDrop, mark: int) -> None:
        if drop.chain == "FORWARD":
            await held.wait()
        await add(drop, mark)

    host.filter.add_accept_rule = blocked  # type: ignore[method-assign]
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(policy("all"))
    async with host.running() as running:
        await running.let(5)
        assert host.rules_of("policy/all")
        for _ in range(3):
            host.firewall.flush_all()
            host.net.commit_firewall(OUR_TABLE)
            await running.let(0.1)
            assert host.rules_of("policy/all")
        assert not host.filter.accept_rules
        held.set()
        await running.let(1)
        assert host.filter.accept_rules
        assert not running.operator.crashing


async def test_rules_are_repaired_although_the_host_can_not_be_read() -> None:
    bench = await made("a")

    async def fail() -> tuple[Interface, ...]:
        raise HostNetError("no answer")

    bench.host.net.interfaces = fail  # type: ignore[method-assign]
    bench.host.firewall.flush_all()
    bench.invalidate_all()
    await reconcile(FIREWALL, bench.context)
    assert bench.host.rules_of("a")
    assert "no answer" in bench.context.world.host_problem


async def test_a_host_that_was_never_read_is_tried_again() -> None:
    host = Host()
    bench = await host.bench(network("a"))

    async def fail() -> tuple[Interface, ...]:
        raise HostNetError("no answer")

    host.net.interfaces = fail  # type: ignore[method-assign]
    with pytest.raises(TemporaryError, match="no answer"):
        await reconcile(FIREWALL, bench.context)


@pytest.mark.parametrize(("error", "delay"), [(FirewallUnavailable("x"), 30), (FirewallRejected("x"), None)])
async def test_a_firewall_that_fails_is_tried_again(error: Exception, delay: float | None) -> None:
    bench = await made("a")
    bench.host.firewall.flush_all()
    bench.host.firewall.fail_next(error)  # type: ignore[arg-type]
    with pytest.raises(TemporaryError) as failed:
        await reconcile(FIREWALL, bench.context)
    assert failed.value.delay == delay


async def test_forwarding_is_turned_on_again_after_its_guards() -> None:
    bench = await made("a")
    bench.host.net.change_sysctl(FORWARDING, "0")
    eth0 = (await bench.host.net.interfaces())[0]
    bench.host.net.add_interface(replace(eth0, autoconfigured=True))
    await reconcile(FORWARDING_KEY, bench.context)
    assert bench.host.net.writes[-2:] == [("net/ipv6/conf/eth0/accept_ra", "2"), ("net/ipv6/conf/all/forwarding", "1")]
    assert set(bench.context.unreported_repairs) == {"a"}


async def test_a_host_without_networks_is_not_made_to_forward() -> None:
    bench = await made()
    bench.host.net.change_sysctl(FORWARDING, "0")
    await reconcile(FORWARDING_KEY, bench.context)
    assert bench.host.net.writes == []


async def test_a_host_that_denies_is_tried_again() -> None:
    bench = await made("a")
    bench.host.net.change_sysctl(FORWARDING, "0")
    bench.host.net.deny()
    with pytest.raises(TemporaryError) as failed:
        await reconcile(FORWARDING_KEY, bench.context)
    assert isinstance(failed.value.__cause__, HostNetPermissionError)


async def test_other_keys_are_nothing() -> None:
    bench = await made("a")
    assert await reconcile(Key("Host", "unknown"), bench.context) is None
