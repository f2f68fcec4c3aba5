"""What the network reconcile does with errors: reported, retried, and nothing is lost."""

from ipaddress import IPv6Network

import pytest

from dockerv6.dockerd.port import EngineApiError, EngineConflict, EngineUnavailable
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.ipam.ledger import LedgerError
from dockerv6.reconciler.handler import TemporaryError
from dockerv6.store.port import StoreError
from tests.fakes.dockerd.versions import ENGINE_20_10
from tests.simulation.resources import network, pool
from tests.unit.controller.scenes import again, applied, restart
from tests.world import Host

FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)


class TestFaults:
    async def test_an_engine_that_is_down_is_waited_for(self) -> None:
        host = Host()
        host.engine.down()
        bench = await host.bench(network())
        requeue = await bench.reconcile()
        assert requeue is not None
        assert await host.ready("blog") == ("False", "EngineUnavailable")
        assert await host.condition("blog", "Reconciling")
        host.engine.up()
        host.clock.advance(requeue.after)
        await again(bench)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")

    async def test_rules_are_repaired_while_the_engine_is_down(self) -> None:
        host = Host()
        bench = await applied(host)
        before = host.rules_of("blog")
        host.engine.down()
        host.flush_rules()
        await again(bench)
        assert host.rules_of("blog") == before

    async def test_the_status_keeps_its_fields_while_the_engine_is_down(self) -> None:
        host = Host()
        await applied(host)
        known = (await host.stored("blog")).status
        host.engine.down()
        bench = await restart(host)
        await bench.reconcile()
        status = (await host.stored("blog")).status
        assert {k: status[k] for k in ("networkID", "bridge", "subnet")} == {
            k: known[k] for k in ("networkID", "bridge", "subnet")
        }

    async def test_no_network_is_made_without_a_firewall(self) -> None:
        host = Host()
        bench = await host.bench(network())
        host.firewall.fail_next(FirewallUnavailable("install nftables"))
        await bench.reconcile()
        assert await host.ready("blog") == ("False", "FirewallUnavailable")
        assert await host.ours() == ()
        await again(bench)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")

    async def test_a_refused_ruleset_is_reported_and_no_network_is_created(self) -> None:
        host = Host()
        bench = await host.bench(network())
        original = host.firewall.apply

        async def refuse(change: object) -> object:
            del change
            raise FirewallRejected("no such thing")

        host.firewall.apply = refuse  # type: ignore[method-assign,assignment]
        with pytest.raises(TemporaryError):
            await bench.reconcile()
        assert (await host.condition("blog", "FirewallReady") or pytest.fail("missing")).reason == "ApplyFailed"
        assert await host.ours() == ()
        host.firewall.apply = original  # type: ignore[method-assign]
        await again(bench)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")

    async def test_a_refusal_is_reported_with_the_engines_message(self) -> None:
        host = Host()
        bench = await host.bench(network())
        host.engine.fail_next("create_network", EngineConflict("Pool overlaps with other one"))
        with pytest.raises(TemporaryError):
            await bench.reconcile()
        condition = await host.condition("blog", "NetworkReady")
        assert condition is not None
        assert (condition.status, condition.reason) == ("False", "SubnetOverlap")
        assert "Pool overlaps" in condition.message

    async def test_a_lost_response_creates_no_second_network(self) -> None:
        host = Host(ENGINE_20_10)
        bench = await host.bench(network())
        host.engine.fail_next("create_network", EngineUnavailable("timeout"), after=True)
        with pytest.raises(TemporaryError):
            await bench.reconcile()
        await again(bench)
        assert len(await host.ours()) == 1

    async def test_one_container_that_can_not_be_attached_does_not_keep_the_others_away(self) -> None:
        host = Host()
        bench = await applied(host, updateStrategy="Recreate")
        for name in ("db", "web"):
            host.engine.run_container(name, "blog")
        await again(bench)
        await host.remove_by_hand("blog")  # what others removed is not rolled back to
        host.engine.fail_next("connect", EngineApiError("address in use"))
        with pytest.raises(TemporaryError):
            await again(bench)
        assert await host.attached("blog") == {"web"}
        assert await host.ready("blog") == ("False", "ApplyFailed")
        await again(bench)
        assert await host.attached("blog") == {"db", "web"}

    async def test_a_container_that_went_meanwhile_is_forgotten(self) -> None:
        host = Host()
        bench = await applied(host, updateStrategy="Recreate")
        host.engine.run_container("web", "blog")
        await again(bench)
        await bench.accept(network("blog", updateStrategy="Recreate", labels={"team": "a"}))
        host.engine.fail_next("connect", EngineUnavailable("gone"))
        with pytest.raises(TemporaryError):
            await again(bench)
        (web,) = await host.engine.running_container_ids()
        host.engine.remove_container(web)
        await again(bench)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")

    async def test_a_ledger_that_another_wrote_is_read_again_at_once(self) -> None:
        host = Host()
        bench = await host.bench(network(), pool(prefix="fd00:1::/64"))
        await host.ledger.bind("thief", "default", IPv6Network("fd00:1::/64"), 0.0, revision=None)
        await again(bench)
        assert await host.ready("blog") == ("False", "PoolExhausted")
        assert {e.reason for e in await host.events("blog")} == {"PoolExhausted"}  # a lost race is not reported

    async def test_a_full_disk_makes_nothing_and_loses_nothing(self) -> None:
        host = Host()
        bench = await host.bench(network())

        async def full(*_: object, **__: object) -> None:
            raise LedgerError("disk full")

        host.ledger.bind = full  # type: ignore[method-assign,assignment]
        with pytest.raises(TemporaryError, match="disk full"):
            await bench.reconcile()
        assert await host.ready("blog") == ("False", "ApplyFailed")
        assert await host.ours() == ()

    async def test_a_full_disk_does_not_stop_a_reconcile(self) -> None:
        host = Host()
        bench = await applied(host)
        before = host.rules_of("blog")
        host.engine.run_container("web", "blog")
        host.flush_rules()

        async def full(*_: object, **__: object) -> None:
            raise StoreError("disk full")

        host.store.put_record = full  # type: ignore[method-assign]
        await again(bench)
        assert host.rules_of("blog") == before
