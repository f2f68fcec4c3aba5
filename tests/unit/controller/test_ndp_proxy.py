"""Neighbour solicitations that the host answers for containers: kept up, taken away, and their sysctl restored."""

from ipaddress import IPv6Address
from typing import Any

from dockerv6.controller.execute import SYSCTLS
from dockerv6.controller.garbage import remove_everything, sweep
from dockerv6.hostnet.model import ProxyNeighbour
from dockerv6.planning.host.sysctls import FORWARDING, proxy_ndp
from tests.simulation.resources import network, policy
from tests.world import Bench, Host

SWITCH = proxy_ndp("eth0")
SUBNET = "2001:db8:1:0:8000::/80"
ROUTED: dict[str, Any] = {
    "addressing": {"subnet": SUBNET},
    "egress": {"mode": "Routed"},
    "ndpProxy": {"enabled": True},
}
KIND = "IPv6Policy"


async def proxy_entries(host: Host) -> set[tuple[str, str]]:
    """Ours, with their interfaces."""
    return {(p.interface, str(p.address)) for p in await host.net.proxy_neighbours() if p.ours}


async def plugged(*containers: str, **spec: Any) -> Bench:
    """A part of the uplink's own prefix for containers, which have NDP proxy entries."""
    host = Host()
    bench = await host.bench(network("blog", **{**ROUTED, **spec}))
    await bench.reconcile()
    for name in containers:
        host.engine.run_container(name, "blog")
    bench.invalidate_all()
    await bench.reconcile()
    return bench


async def again(bench: Bench) -> None:
    bench.invalidate_all()
    await bench.reconcile()


class TestNetworks:
    async def test_each_running_container_has_a_proxy_entry_on_the_uplink(self) -> None:
        bench = await plugged("web", "db")
        assert await proxy_entries(bench.host) == {("eth0", "2001:db8:1:0:8000::2"), ("eth0", "2001:db8:1:0:8000::3")}
        assert await bench.host.net.sysctl(SWITCH) == "1"
        assert await bench.host.ready("blog") == ("True", "ReconcileSucceeded")
        ready = await bench.host.condition("blog", "HostReady")
        assert ready is not None
        assert "NDP proxy on eth0" in ready.message

    async def test_the_switch_is_on_before_there_is_a_container(self) -> None:
        bench = await plugged()
        assert await bench.host.net.sysctl(SWITCH) == "1"
        assert await proxy_entries(bench.host) == set()

    async def test_a_stopped_container_loses_its_proxy_entry(self) -> None:
        bench = await plugged("web", "db")
        web = next(c.id for c in await bench.host.engine.containers() if c.name == "web")
        bench.host.engine.stop_container(web)
        await again(bench)
        assert await proxy_entries(bench.host) == {("eth0", "2001:db8:1:0:8000::3")}

    async def test_proxy_entries_stay_while_the_engine_does_not_answer(self) -> None:
        bench = await plugged("web")
        before = await proxy_entries(bench.host)
        bench.host.engine.down()
        await again(bench)
        assert await proxy_entries(bench.host) == before

    async def test_entries_that_were_lost_come_back(self) -> None:
        bench = await plugged("web")
        before = await proxy_entries(bench.host)
        bench.host.net.drop_proxy_neighbour("eth0", IPv6Address("2001:db8:1:0:8000::2"))
        bench.host.net.change_sysctl(SWITCH, "0")
        await again(bench)
        assert await proxy_entries(bench.host) == before
        assert await bench.host.net.sysctl(SWITCH) == "1"

    async def test_a_deleted_resource_takes_its_entries_along(self) -> None:
        bench = await plugged("web")
        bench.host.engine.stop_container(*await bench.host.engine.running_container_ids())
        bench.invalidate_all()
        await bench.delete("blog")
        assert await bench.finalize() is None
        assert await proxy_entries(bench.host) == set()


class TestSweep:
    async def test_unclaimed_entries_are_removed_and_others_stay(self) -> None:
        bench = await plugged("web")
        host = bench.host
        before = await proxy_entries(host)
        await host.net.add_proxy_neighbour("eth0", IPv6Address("2001:db8:1::77"))
        host.net.add_other_proxy_neighbour("eth0", IPv6Address("2001:db8:1::88"))
        bench.invalidate_all()
        await sweep(bench.context)
        assert await proxy_entries(host) == before
        theirs = ProxyNeighbour("eth0", IPv6Address("2001:db8:1::88"), ours=False)
        assert theirs in await host.net.proxy_neighbours()

    async def test_those_of_one_that_is_suspended_stay(self) -> None:
        bench = await plugged("web")
        before = await proxy_entries(bench.host)
        await bench.accept(network("blog", **ROUTED, suspend=True))
        await again(bench)
        await sweep(bench.context)
        assert await proxy_entries(bench.host) == before
        assert await bench.host.net.sysctl(SWITCH) == "1"

    async def test_nothing_goes_before_every_source_was_listed(self) -> None:
        bench = await plugged("web")
        await bench.host.net.add_proxy_neighbour("eth0", IPv6Address("2001:db8:1::77"))
        restarted = await bench.host.bench()
        restarted.context.inventory.sources_listed = False
        await sweep(restarted.context)
        assert ("eth0", "2001:db8:1::77") in await proxy_entries(bench.host)

    async def test_the_switch_goes_back_when_nothing_wants_it_and_forwarding_stays(self) -> None:
        bench = await plugged("web")
        host = bench.host
        assert (await host.store.record(SYSCTLS, SWITCH)) == {"prior": "0"}
        await bench.accept(network("blog", **{**ROUTED, "ndpProxy": {"enabled": False}}))
        await again(bench)
        await sweep(bench.context)
        assert await proxy_entries(host) == set()
        assert await host.net.sysctl(SWITCH) == "0"
        assert await host.store.record(SYSCTLS, SWITCH) is None
        assert await host.net.sysctl(FORWARDING) == "1"
        assert await host.attached("blog") == {"web"}

    async def test_a_proxy_ndp_sysctl_that_was_on_before_stays_on(self) -> None:
        host = Host()
        host.net.change_sysctl(SWITCH, "1")
        bench = await host.bench(network("blog", **ROUTED))
        await bench.reconcile()
        assert await host.store.record(SYSCTLS, SWITCH) is None
        await bench.delete("blog")
        await bench.finalize()
        bench.invalidate_all()
        await sweep(bench.context)
        assert await host.net.sysctl(SWITCH) == "1"

    async def test_the_switch_stays_while_another_needs_it(self) -> None:
        bench = await plugged("web")
        other = {**ROUTED, "addressing": {"subnet": "2001:db8:1:0:9000::/80"}}
        await bench.accept(network("shop", **other))
        await bench.reconcile("shop")
        await bench.accept(network("blog", **{**ROUTED, "ndpProxy": {"enabled": False}}))
        await again(bench)
        await sweep(bench.context)
        assert await proxy_entries(bench.host) == set()
        assert await bench.host.net.sysctl(SWITCH) == "1"


async def test_an_uninstall_removes_entries_and_restores_proxy_ndp() -> None:
    bench = await plugged("web")
    bench.host.net.add_other_proxy_neighbour("eth0", IPv6Address("2001:db8:1::88"))
    bench.host.engine.stop_container(*await bench.host.engine.running_container_ids())
    bench.invalidate_all()
    removed = await remove_everything(bench.context, keep_networks=False)
    assert await proxy_entries(bench.host) == set()
    assert len(await bench.host.net.proxy_neighbours()) == 1
    assert await bench.host.net.sysctl(SWITCH) == "0"
    assert await bench.host.net.sysctl(FORWARDING) == "0"
    assert any("2001:db8:1:0:8000::2" in line for line in removed)
    assert any("proxy_ndp" in line for line in removed)


class TestPolicies:
    async def applied(self, **spec: Any) -> Bench:
        host = Host()
        await host.create_foreign("shop", SUBNET)
        bench = await host.bench(policy("all", **spec))
        host.engine.run_container("web", "shop")
        await bench.reconcile("all", KIND)
        return bench

    async def test_containers_of_foreign_networks_have_proxy_entries(self) -> None:
        bench = await self.applied(egress={"mode": "Routed"}, ndpProxy={"enabled": True})
        (entry,) = await proxy_entries(bench.host)
        assert entry[0] == "eth0"
        assert entry[1].startswith("2001:db8:1:0:8000:")
        assert await bench.host.net.sysctl(SWITCH) == "1"
        condition = await bench.host.condition("all", "HostReady", KIND)
        assert condition is not None
        assert "NDP proxy on eth0" in condition.message

    async def test_its_end_is_the_end_of_its_entries(self) -> None:
        bench = await self.applied(egress={"mode": "Routed"}, ndpProxy={"enabled": True})
        await bench.delete("all", KIND)
        bench.invalidate_all()
        assert await bench.finalize("all", KIND) is None
        assert await proxy_entries(bench.host) == set()
        bench.invalidate_all()
        await sweep(bench.context)
        assert await bench.host.net.sysctl(SWITCH) == "0"

    async def test_without_ndp_proxy_there_are_no_entries(self) -> None:
        bench = await self.applied(egress={"mode": "Routed"})
        assert await proxy_entries(bench.host) == set()
        assert await bench.host.net.sysctl(SWITCH) == "0"
