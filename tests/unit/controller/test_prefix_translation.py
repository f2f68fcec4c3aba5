"""Networks and policies that are routed or translated to a prefix: what becomes of them, and of their flows."""

from ipaddress import IPv6Interface, IPv6Network
from typing import Any

import pytest

from dockerv6.controller.prefixes import track_prefixes
from dockerv6.planning.addressing.tracked_prefixes import SETTLE
from tests.fakes.dockerd.versions import ENGINE_20_10, ENGINE_28_5, EngineVersion
from tests.simulation.provider import Provider
from tests.simulation.resources import network, policy
from tests.world import Bench, Host

KIND = "IPv6Policy"
READY = ("True", "ReconcileSucceeded")
OLD, NEW = "2001:db8:a00::/56", "2001:db8:b00::/56"
OUTER: dict[str, Any] = {"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}}


def translated_to(host: Host) -> list[str]:
    """What inner prefixes are translated to, as the rules say it."""
    ruleset = str(host.firewall.ruleset)
    return sorted({p for p in ("2001:db8:a00:", "2001:db8:b00:") if p in ruleset})


async def behind(*names: str, prefix: str = OLD) -> tuple[Bench, Provider]:
    """Networks that are translated to the prefix of eth0, with a container each."""
    host = Host()
    provider = Provider(host)
    if prefix:
        provider.delegate(prefix)
    bench = await host.bench(*(network(n, egress=OUTER) for n in names))
    await track_prefixes(bench.context)
    for name in names:
        await bench.reconcile(name)
        host.engine.run_container(f"web-{name}", name)
    bench.invalidate_all()
    for name in names:
        await bench.reconcile(name)
    return bench, provider


async def change(bench: Bench, provider: Provider, *prefixes: str) -> None:
    """The provider's prefixes are these, for long enough; the controller has seen it."""
    provider.replace_delegations(*prefixes)
    for _ in range(2):
        bench.invalidate_all()
        await track_prefixes(bench.context)
        bench.host.clock.advance(SETTLE)


class TestPrefixTranslation:
    async def test_they_follow_in_one_transaction_and_no_container_notices(self) -> None:
        bench, provider = await behind("a", "b", "c")
        host = bench.host
        before, ids = await host.snapshot(), {n.id for n in await host.engine.networks()}
        assert translated_to(host) == ["2001:db8:a00:"]
        commits = host.firewall.commits
        changes = host.engine.changes
        await change(bench, provider, NEW)
        for name in ("a", "b", "c"):
            await bench.reconcile(name)
            assert await host.ready(name) == READY
        assert host.firewall.commits == commits + 1
        assert translated_to(host) == ["2001:db8:b00:"]
        assert host.engine.changes == changes
        assert {n.id for n in await host.engine.networks()} == ids
        after = await host.snapshot()
        assert (after[0], after[1]) == (before[0], before[1])

    async def test_the_operator_does_so_by_itself(self) -> None:
        host = Host()
        provider = Provider(host)
        provider.delegate(OLD)
        host.files.write(network("a", egress=OUTER), network("b", egress=OUTER))
        async with host.running() as at_work:
            await at_work.let(5)
            assert translated_to(host) == ["2001:db8:a00:"]
            commits = host.firewall.commits
            changes = host.engine.changes
            provider.replace_delegations(NEW)
            await at_work.let(2 * SETTLE)
            assert translated_to(host) == ["2001:db8:b00:"]
            assert host.firewall.commits == commits + 1
            assert host.engine.changes == changes
            assert (await host.ready("a"), await host.ready("b")) == (READY, READY)
            assert "PrefixChanged" in {e.reason for e in await host.events("a")}

    async def test_flows_of_a_prefix_that_leads_nowhere_are_ended(self) -> None:
        bench, provider = await behind("a")
        ended: list[frozenset[IPv6Network]] = []
        original = bench.host.net.delete_translated_flows

        async def forget(prefixes: frozenset[IPv6Network]) -> int:
            assert translated_to(bench.host) == ["2001:db8:b00:"]
            ended.append(prefixes)
            return await original(prefixes)

        bench.host.net.delete_translated_flows = forget  # type: ignore[assignment,method-assign]
        await change(bench, provider, NEW)
        assert ended == [frozenset({IPv6Network(OLD)})]

    async def test_without_a_prefix_nothing_is_translated_and_it_is_reported(self) -> None:
        host = Host()
        bench = await host.bench(network("a", egress={**OUTER, "prefixFrom": {"interface": "eth7"}}))
        await track_prefixes(bench.context)
        await bench.reconcile("a")
        assert await host.ready("a") == ("False", "PrefixPending")
        assert await host.docker("a")

    async def test_a_prefix_that_went_without_a_successor_stays_in_use(self) -> None:
        bench, provider = await behind("a")
        provider.withdraw("2001:db8:1::/64")
        await change(bench, provider)
        await bench.reconcile("a")
        assert await bench.host.ready("a") == ("False", "PrefixWithdrawn")
        assert translated_to(bench.host) == ["2001:db8:a00:"]

    async def test_a_longer_prefix_than_the_subnet_takes_nothing_but_the_translation(self) -> None:
        bench, provider = await behind("a")
        provider.withdraw("2001:db8:1::/64")
        await change(bench, provider, "2001:db8:b00::/65")
        await bench.reconcile("a")
        assert (await bench.host.ready("a"))[1] == "PrefixTooLong"
        assert await bench.host.attached("a") == {"web-a"}


class TestRouted:
    @pytest.mark.parametrize(
        ("profile", "asked"), [(ENGINE_28_5, "routed"), (ENGINE_20_10, None)], ids=["28.5", "20.10"]
    )
    async def test_engines_with_gateway_modes_get_the_mode(self, profile: EngineVersion, asked: str | None) -> None:
        host = Host(profile)
        bench = await host.bench(network("a", egress={"mode": "Routed"}))
        await bench.reconcile("a")
        there = await host.docker("a")
        assert there is not None
        assert there.options.get("com.docker.network.bridge.gateway_mode_ipv6") == asked
        bench.invalidate_all()
        assert await bench.reconcile("a") is None
        assert await host.ready("a") == READY

    async def test_its_subnet_is_let_out_untranslated(self) -> None:
        host = Host()
        bench = await host.bench(network("a", egress={"mode": "Routed"}, addressing={"subnet": "2001:db8:f::/64"}))
        await bench.reconcile("a")
        assert "routed 2001:db8:f::/64" in host.rules_of("a")


class TestSnat:
    async def test_an_address_that_the_host_loses_and_gets_is_reported(self) -> None:
        host = Host()
        host.files.write(network("a", egress={"mode": "SNAT", "snatAddress": "2001:db8:1::99"}))
        async with host.running() as at_work:
            await at_work.let(2)
            assert (await host.ready("a"))[1] == "AddressMissing"
            await host.net.add_address("eth0", IPv6Interface("2001:db8:1::99/64"))
            await at_work.let(2)
            assert await host.ready("a") == READY
            host.net.withdraw("eth0", IPv6Network("2001:db8:1::/64"))
            await at_work.let(2)
            assert (await host.ready("a"))[1] == "AddressMissing"


class TestPolicies:
    async def applied(self, **egress: Any) -> tuple[Bench, Provider]:
        host = Host()
        provider = Provider(host)
        provider.delegate(OLD)
        await host.create_foreign("shop", "fd99::/64")
        bench = await host.bench(policy("all", egress=egress))
        await track_prefixes(bench.context)
        await bench.reconcile("all", KIND)
        return bench, provider

    async def test_others_networks_are_translated_to_the_prefix_and_follow_it(self) -> None:
        bench, provider = await self.applied(**OUTER)
        assert translated_to(bench.host) == ["2001:db8:a00:"]
        commits = bench.host.firewall.commits
        await change(bench, provider, NEW)
        await bench.reconcile("all", KIND)
        assert translated_to(bench.host) == ["2001:db8:b00:"]
        assert bench.host.firewall.commits == commits + 1
        assert {e.reason for e in await bench.host.events("all", KIND)} >= {"PrefixFollowed", "PrefixChanged"}
        assert bench.host.engine.changes == ["create_network"]

    async def test_others_networks_can_be_routed(self) -> None:
        bench, _ = await self.applied(mode="Routed")
        assert "routed fd99::/64" in bench.host.rules_of("policy/all")


class TestUplink:
    """What the host loses and gets back is repaired without a change of a file."""

    async def test_proxy_entries_return_with_the_uplink(self) -> None:
        host = Host()
        provider = Provider(host)
        spec = {
            "addressing": {"subnet": "2001:db8:1:0:8000::/80"},
            "egress": {"mode": "Routed"},
            "ndpProxy": {"enabled": True},
        }
        host.files.write(network("a", **spec))
        async with host.running() as at_work:
            await at_work.let(2)
            host.engine.run_container("web", "a")
            await at_work.let(2)
            before = await host.net.proxy_neighbours()
            assert len(before) == 1
            provider.unplug()
            await at_work.let(30)
            assert await host.attached("a") == {"web"}
            provider.plug("2001:db8:1::5/64", index=77)
            await at_work.let(2)
            assert await host.net.proxy_neighbours() == before
            assert await host.net.sysctl("net.ipv6.conf.eth0.proxy_ndp") == "1"
            assert await host.ready("a") == READY

    async def test_entries_are_removed_when_the_file_no_longer_asks_for_them(self) -> None:
        host = Host()
        spec = {"addressing": {"subnet": "2001:db8:1:0:8000::/80"}, "egress": {"mode": "Routed"}}
        host.files.write(network("a", **spec, ndpProxy={"enabled": True}))
        async with host.running() as at_work:
            await at_work.let(2)
            host.engine.run_container("web", "a")
            await at_work.let(2)
            host.files.write(network("a", **spec))
            await at_work.let(2)
            assert await host.net.proxy_neighbours() == frozenset()
            assert await host.net.sysctl("net.ipv6.conf.eth0.proxy_ndp") == "0"
            assert await host.attached("a") == {"web"}
