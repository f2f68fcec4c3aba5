"""The end of a network resource."""

import pytest

from dockerv6.dockerd.port import EngineConflict
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.reconciler.handler import TemporaryError
from tests.simulation.resources import invalid, network
from tests.unit.controller.scenes import applied
from tests.world import Host

FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)


class TestDeletion:
    async def test_everything_goes_but_the_cooldown(self) -> None:
        host = Host()
        bench = await applied(host)
        await bench.delete("blog")
        assert await bench.finalize() is None
        assert await host.ours() == ()
        assert host.rules_of("blog") == frozenset()
        assert [str(a.state) for a in await host.ledger.allocations()] == ["cooling"]
        assert await host.store.object("IPv6Network", "blog") is None
        assert await host.store.record("endpoints", "blog") is None

    async def test_attached_containers_are_waited_for_visibly(self) -> None:
        host = Host()
        bench = await applied(host)
        web = host.engine.run_container("web", "blog")
        bench.invalidate_all()
        await bench.delete("blog")
        assert await bench.finalize() is not None
        waits = await host.condition("blog", "Reconciling")
        assert waits is not None
        assert waits.reason == "EndpointsAttached"
        assert "web" in waits.message
        assert host.rules_of("blog")
        host.engine.stop_container(web)
        bench.invalidate_all()
        assert await bench.finalize() is None

    async def test_an_orphan_keeps_its_network(self) -> None:
        host = Host()
        bench = await applied(host, deletionPolicy="Orphan")
        await bench.delete("blog")
        assert await bench.finalize() is None
        (there,) = await host.ours()
        assert host.rules_of("blog") == frozenset()
        assert there.id in await host.store.records("orphan")

    async def test_an_orphan_is_taken_up_again(self) -> None:
        host = Host()
        bench = await applied(host, deletionPolicy="Orphan")
        (there,) = await host.ours()
        await bench.delete("blog")
        await bench.finalize()
        await bench.accept(network())
        await bench.reconcile()
        assert await host.ours() == (there,)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")

    async def test_a_silent_engine_keeps_the_tombstone(self) -> None:
        host = Host()
        bench = await applied(host)
        host.engine.down()
        bench.invalidate_all()
        await bench.delete("blog")
        again_in = await bench.finalize()
        assert again_in is not None
        assert await host.bound("blog")

    async def test_a_refused_removal_is_reported_and_retried(self) -> None:
        host = Host()
        bench = await applied(host)
        await bench.delete("blog")
        host.engine.fail_next("remove_network", EngineConflict("active endpoints"))
        with pytest.raises(TemporaryError):
            await bench.finalize()
        waits = await host.condition("blog", "Reconciling")
        assert waits is not None
        assert "active endpoints" in waits.message
        assert await bench.finalize() is None

    async def test_a_tombstone_that_never_was_valid_just_goes(self) -> None:
        host = Host()
        host.files.write(invalid("blog"))
        bench = await host.bench()
        await bench.accept()
        await bench.delete("blog")
        assert await bench.finalize() is None
        assert await host.store.object("IPv6Network", "blog") is None
