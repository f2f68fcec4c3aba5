"""The handlers of IPv6Policy on a simulated host."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockerv6.controller.policy import finalize, reconcile
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.hostnet.model import Listener
from dockerv6.planning.firewall.port_assignment import PORT_RETRY
from dockerv6.reconciler.handler import Key, Requeue, TemporaryError
from tests.simulation.resources import invalid, network, policy
from tests.world import Bench, Host

KIND = "IPv6Policy"
ALL = Key(KIND, "all")
READY = ("True", "ReconcileSucceeded")
LISTENER = Listener("tcp", IPv6Address("::"), 8080)
FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)


async def applied(host: Host | None = None, **spec: object) -> Bench:
    """A policy that is applied to a foreign network."""
    there = host or Host()
    await there.create_foreign("shop", "fd99::/64")
    bench = await there.bench(policy("all", **spec))
    await bench.reconcile("all", KIND)
    return bench


async def again(bench: Bench) -> None:
    bench.invalidate_all()
    await bench.reconcile("all", KIND)


class TestReconcile:
    async def test_networks_that_match_have_rules_and_nothing_else(self) -> None:
        bench = await applied()
        there = await bench.host.docker("shop")
        assert there is not None
        assert bench.host.rules_of("policy/all") >= {f"networks fd99::/64 . {there.bridge}", "egress_any fd99::/64"}
        assert await bench.host.ready("all", KIND) == READY
        assert bench.host.engine.changes == ["create_network"]

    async def test_the_status_has_the_observed_fields(self) -> None:
        bench = await applied()
        there = await bench.host.docker("shop")
        assert there is not None
        status = (await bench.host.stored("all", KIND)).status
        assert status["networks"] == 1
        assert status["matched"] == [{"name": "shop", "bridge": there.bridge, "subnets": ["fd99::/64"]}]
        assert (status["claimed"], status["publishedPorts"]) == ([], [])
        assert status["firewallBackend"] == "fake"
        ready = await bench.host.condition("all", "Ready", KIND)
        assert ready is not None
        assert ready.message == "1 Docker network"

    async def test_the_status_has_the_published_ports(self) -> None:
        bench = await applied()
        bench.host.engine.run_container("web", "shop", ports=("8080:80",))
        await again(bench)
        assert bench.host.ports() == {"tcp 8080 ::": "web:80"}
        there = next(c for c in await bench.host.engine.containers() if c.name == "web")
        assert (await bench.host.stored("all", KIND)).status["publishedPorts"] == [
            {
                "protocol": "tcp",
                "hostAddress": "::",
                "port": 8080,
                "container": "web",
                "address": str(there.endpoints[0].ipv6),
                "targetPort": 80,
            }
        ]
        condition = await bench.host.condition("all", "PortsPublished", KIND)
        assert condition is not None
        assert (condition.status, condition.message) == ("True", "1 port published")

    async def test_the_status_has_matching_networks_that_are_claimed(self) -> None:
        host = Host()
        await host.create_foreign("shop", "fd99::/64")
        await host.create_foreign("mine", "fd98::/64")
        bench = await host.bench(policy("all"), policy("also"), network("mine", managementPolicy="Observe"))
        for name in ("all", "also"):
            await bench.reconcile(name, KIND)
        assert (await host.stored("all", KIND)).status["claimed"] == [{"name": "mine", "by": "IPv6Network/mine"}]
        claimed = [{"name": "mine", "by": "IPv6Network/mine"}, {"name": "shop", "by": "IPv6Policy/all"}]
        assert (await host.stored("also", KIND)).status["claimed"] == claimed
        ready = await host.condition("also", "Ready", KIND)
        assert ready is not None
        assert ready.message.startswith("0 Docker networks; others that match are claimed: mine (IPv6Network/mine)")

    async def test_our_own_networks_are_never_its(self) -> None:
        host = Host()
        bench = await host.bench(policy("all"), network("blog"))
        await bench.reconcile("blog")
        await again(bench)
        assert (await host.stored("all", KIND)).status["networks"] == 0
        assert host.rules_of("policy/all") == frozenset()

    async def test_a_network_that_comes_or_goes_is_followed(self) -> None:
        bench = await applied()
        await bench.host.create_foreign("late", "fd98::/64")
        await again(bench)
        assert "egress_any fd98::/64" in bench.host.rules_of("policy/all")
        await bench.host.remove_by_hand("shop")
        await again(bench)
        assert "egress_any fd99::/64" not in bench.host.rules_of("policy/all")

    async def test_flushed_rules_are_repaired_and_reported(self) -> None:
        bench = await applied()
        rules = bench.host.rules_of("policy/all")
        bench.host.flush_rules()
        await again(bench)
        assert bench.host.rules_of("policy/all") == rules
        drifted = await bench.host.condition("all", "Drifted", KIND)
        assert drifted is not None
        assert (drifted.status, drifted.reason) == ("False", "Restored")

    async def test_nothing_to_do_writes_nothing(self) -> None:
        bench = await applied()
        before = await bench.host.stored("all", KIND)
        commits = bench.host.firewall.commits
        bench.host.clock.advance(60)
        await again(bench)
        assert await bench.host.stored("all", KIND) == before
        assert bench.host.firewall.commits == commits

    async def test_marked_flows_pass_the_hosts_filter(self) -> None:
        host = Host()
        host.filter.add_forward_drop(FORWARD)
        await applied(host)
        assert host.filter.accept_rules

    async def test_hairpin_is_set_where_bridged_packets_are_filtered(self) -> None:
        bench = await applied(Host(bridge_netfilter=True))
        bench.host.engine.run_container("web", "shop", ports=("8080:80",))
        await again(bench)
        (end,) = [i for i in await bench.host.net.interfaces() if i.kind == "veth"]
        assert end.bridge_port is not None
        assert end.bridge_port.hairpin

    async def test_keys_without_objects_and_objects_that_never_were_valid_are_left(self) -> None:
        bench = await Host().bench()
        assert await reconcile(ALL, bench.context) is None
        bench.host.files.write(replace(invalid("all"), kind=KIND))
        await bench.accept()
        assert await reconcile(ALL, bench.context) is None
        assert await bench.host.ready("all", KIND) == ("False", "InvalidSpec")


class TestFaults:
    async def test_an_engine_that_is_away_costs_no_rules(self) -> None:
        bench = await applied()
        rules = bench.host.rules_of("policy/all")
        bench.host.engine.down()
        bench.invalidate_all()
        assert isinstance(await bench.reconcile("all", KIND), Requeue)
        assert bench.host.rules_of("policy/all") == rules
        found = await bench.host.condition("all", "FirewallReady", KIND)
        assert found is not None
        assert (found.status, found.reason) == ("Unknown", "EngineUnavailable")
        restarted = await bench.host.bench()
        await restarted.reconcile("all", KIND)
        assert bench.host.rules_of("policy/all") == rules

    async def test_an_unavailable_firewall_is_reported_and_retried(self) -> None:
        bench = await applied()
        bench.context.firewall.invalidate()
        bench.host.firewall.fail_next(FirewallUnavailable("install nftables"))
        assert isinstance(await bench.reconcile("all", KIND), Requeue)
        assert await bench.host.ready("all", KIND) == ("False", "FirewallUnavailable")

    async def test_a_refused_ruleset_is_reported_and_retried(self) -> None:
        host = Host()
        await host.create_foreign("shop", "fd99::/64")
        bench = await host.bench(policy("all"))

        async def refuse(_: object) -> None:
            raise FirewallRejected("no")

        host.firewall.apply = refuse  # type: ignore[method-assign,assignment]
        with pytest.raises(TemporaryError):
            await bench.reconcile("all", KIND)
        assert (await host.ready("all", KIND))[0] == "False"

    async def test_a_port_that_a_process_has_is_checked_again(self) -> None:
        host = Host(userland_proxy=False)
        bench = await applied(host, publish={"ports": [{"port": 8080, "containers": {"name": "web"}}]})
        host.net.listen(LISTENER)
        host.engine.run_container("web", "shop")
        bench.invalidate_all()
        assert await bench.reconcile("all", KIND) == Requeue(PORT_RETRY)
        assert await host.ready("all", KIND) == ("False", "PortTaken")
        host.net.stop_listening(LISTENER)
        bench.context.world.containers_changed()
        assert await bench.reconcile("all", KIND) is None
        assert host.ports() == {"tcp 8080 ::": "web:8080"}
        assert await host.ready("all", KIND) == READY


class TestFinalize:
    async def test_the_rules_go_and_the_networks_stay(self) -> None:
        bench = await applied()
        await bench.delete("all", KIND)
        assert await bench.finalize("all", KIND) is None
        assert bench.host.rules_of("policy/all") == frozenset()
        assert await bench.host.docker("shop")
        assert [e.reason for e in await bench.host.events("all", KIND)][-1] == "Deleted"

    async def test_a_firewall_that_fails_keeps_the_tombstone(self) -> None:
        bench = await applied()
        await bench.delete("all", KIND)
        bench.context.firewall.invalidate()
        bench.host.firewall.fail_next(FirewallUnavailable("busy"))
        with pytest.raises(TemporaryError):
            await finalize(ALL, bench.context)
        assert bench.context.inventory.get(KIND, "all") is not None
