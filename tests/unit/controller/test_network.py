"""The handlers of IPv6Network on a simulated host."""

import pytest

from dockerv6.controller import network as network_reconcile
from dockerv6.dockerd.model import Attachment
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.hostnet.model import Interface
from dockerv6.planning.host.sysctls import FORWARDING
from dockerv6.reconciler.handler import Key, TemporaryError
from tests.simulation.resources import invalid, network
from tests.unit.controller.scenes import again, applied, restart
from tests.world import Host

FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)


class TestCreation:
    async def test_a_network_comes_about_with_everything_it_needs(self) -> None:
        host = Host()
        host.filter.add_forward_drop(FORWARD)
        await applied(host)
        there = await host.docker("blog")
        bound = await host.bound("blog")
        assert there is not None
        assert bound is not None
        assert [c.subnet for c in there.ipv6] == [bound.prefix]
        assert there.bridge == "v6-blog"
        assert host.rules_of("blog") == {
            f"networks {bound.prefix} . v6-blog",
            f"egress_any {bound.prefix}",
            "own_bridge v6-blog . v6-blog",
            "validated v6-blog",
            f"valid_sources v6-blog . {bound.prefix}",
        }
        assert await host.net.sysctl(FORWARDING) == "1"
        assert len(host.filter.accept_rules) == 1

    async def test_the_rules_are_there_before_the_network(self) -> None:
        host = Host()
        bench = await host.bench(network())
        host.engine.fail_next("create_network", EngineUnavailable("gone"))
        with pytest.raises(TemporaryError):
            await bench.reconcile()
        assert host.rules_of("blog")
        assert await host.docker("blog") is None

    async def test_the_status_has_the_observed_fields(self) -> None:
        host = Host()
        bench = await applied(host)
        host.engine.run_container("web", "blog")
        await again(bench)
        status = (await host.stored("blog")).status
        there, bound = await host.docker("blog"), await host.bound("blog")
        assert there is not None
        assert bound is not None
        assert status["subnet"] == str(bound.prefix)
        assert status["gateway"] == str(bound.prefix[1])
        assert status["networkID"] == there.id
        assert status["bridge"] == "v6-blog"
        assert status["engine"] == "28.5.2"
        assert status["firewallBackend"] == "fake"
        assert status["containers"] == 1
        assert status["observedGeneration"] == 1
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")

    async def test_steps_become_events(self) -> None:
        host = Host()
        await applied(host)
        assert {"SubnetAllocated", "NetworkCreated"} <= {e.reason for e in await host.events("blog")}

    async def test_nothing_to_do_writes_nothing(self) -> None:
        host = Host()
        bench = await applied(host)
        before, changes = await host.stored("blog"), host.engine.changes
        host.clock.advance(60)
        await bench.reconcile()
        assert await host.stored("blog") == before
        assert host.engine.changes == changes

    async def test_a_resource_that_never_was_valid_is_only_shown(self) -> None:
        host = Host()
        host.files.write(invalid("blog", "unknown field"))
        bench = await host.bench()
        await bench.accept()
        await bench.reconcile()
        assert await host.ready("blog") == ("False", "InvalidSpec")
        assert await host.ours() == ()

    async def test_a_key_without_a_resource_is_nothing(self) -> None:
        bench = await Host().bench()
        assert await network_reconcile.reconcile(Key("IPv6Network", "x"), bench.context) is None
        assert await network_reconcile.finalize(Key("IPv6Network", "x"), bench.context) is None


class TestDrift:
    async def test_flushed_rules_come_back(self) -> None:
        host = Host()
        bench = await applied(host)
        before = host.rules_of("blog")
        host.flush_rules()
        await again(bench)
        assert host.rules_of("blog") == before
        drifted = await host.condition("blog", "Drifted")
        assert drifted is not None
        assert (drifted.status, drifted.reason) == ("False", "Restored")
        assert "Drifted" in {e.reason for e in await host.events("blog")}

    async def test_a_removed_network_comes_back_with_its_subnet_and_its_containers(self) -> None:
        host = Host()
        bench = await applied(host)
        bound = await host.bound("blog")
        attachment = Attachment("", "", running=False, aliases=("db", "postgres"), gw_priority=7)
        host.engine.run_container("db", "blog", attachment)
        await again(bench)
        await host.remove_by_hand("blog")
        await again(bench)
        assert await host.bound("blog") == bound
        there = await host.docker("blog")
        assert there is not None
        (attachment,) = await host.engine.attachments(there.id)
        assert (attachment.aliases, attachment.gw_priority) == (("db", "postgres"), 7)

    async def test_a_container_that_left_long_before_stays_away(self) -> None:
        host = Host()
        bench = await applied(host)
        web = host.engine.run_container("web", "blog")
        await again(bench)
        there = await host.docker("blog")
        assert there is not None
        await host.engine.disconnect(there.id, web)
        await again(bench)
        host.clock.advance(121)
        await again(bench)
        await host.engine.remove_network(there.id)
        await again(bench)
        assert await host.attached("blog") == frozenset()

    async def test_a_stopped_container_can_start_on_the_new_network(self) -> None:
        host = Host()
        bench = await applied(host)
        cron = host.engine.run_container("cron", "blog")
        host.engine.stop_container(cron)
        await again(bench)
        await host.remove_by_hand("blog")
        await again(bench)
        host.engine.start_container(cron)
        assert await host.attached("blog") == {"cron"}

    async def test_sysctls_that_were_flipped_are_set_again(self) -> None:
        host = Host()
        bench = await applied(host)
        host.net.change_sysctl(FORWARDING, "0")
        await again(bench)
        assert await host.net.sysctl(FORWARDING) == "1"
        assert (await host.store.records("sysctl"))[FORWARDING] == {"prior": "0"}

    async def test_a_bridge_that_lost_its_address_has_it_again(self) -> None:
        host = Host()
        bench = await applied(host)
        before = await host.net.interfaces()
        bridge = next(i for i in before if i.name == "v6-blog")
        host.net.remove_interface("v6-blog")
        host.net.add_interface(type(bridge)(bridge.index, bridge.name, bridge.kind, up=False, mtu=1500))
        host.net.change_sysctl("net/ipv6/conf/v6-blog/disable_ipv6", "1")
        await again(bench)
        assert await host.net.interfaces() == before
        assert await host.net.sysctl("net/ipv6/conf/v6-blog/disable_ipv6") == "0"

    async def test_a_deleted_bridge_comes_back_with_the_containers(self) -> None:
        host = Host()
        bench = await applied(host)
        host.engine.run_container("web", "blog")
        await again(bench)
        host.net.remove_interface("v6-blog")
        await again(bench)
        assert await host.attached("blog") == {"web"}
        assert "v6-blog" in {i.name for i in await host.net.interfaces()}


class TestRestart:
    async def test_a_new_process_does_nothing_where_nothing_changed(self) -> None:
        host = Host()
        await applied(host)
        before, commits, changes = await host.snapshot(), host.firewall.commits, host.engine.changes
        bench = await restart(host)
        await bench.reconcile()
        assert await host.snapshot() == before
        assert host.firewall.commits == commits
        assert host.engine.changes == changes

    async def test_what_was_removed_meanwhile_comes_back(self) -> None:
        host = Host()
        bench = await applied(host)
        host.engine.run_container("web", "blog")
        await again(bench)
        before = await host.snapshot()
        await host.remove_by_hand("blog")
        host.flush_rules()
        bench = await restart(host)
        await bench.reconcile()
        assert await host.snapshot() == before

    async def test_a_lost_ledger_and_store_are_rebuilt_from_what_runs(self) -> None:
        host = Host()
        await applied(host)
        bound, before, commits = await host.bound("blog"), await host.snapshot(), host.firewall.commits
        fresh = Host()
        host.store, host.ledger = fresh.store, fresh.ledger
        bench = await host.bench()
        await bench.accept(network())
        await bench.reconcile()
        again = await host.bound("blog")
        assert bound is not None
        assert again is not None
        assert again.prefix == bound.prefix
        assert await host.snapshot() == before
        assert host.firewall.commits == commits


class TestObserve:
    SPEC = {"managementPolicy": "Observe", "networkName": "compose_default"}  # noqa: RUF012 - never changed

    async def test_an_observed_network_has_rules_and_a_status(self) -> None:
        host = Host()
        there = await host.create_foreign("compose_default", "fd00:77::/64")
        await applied(host, **self.SPEC)
        assert host.rules_of("blog")
        status = (await host.stored("blog")).status
        assert (status["networkID"], status["subnet"]) == (there, "fd00:77::/64")
        assert "gateway" not in status  # its creator set none

    async def test_one_that_is_not_there_is_waited_for(self) -> None:
        host = Host()
        bench = await host.bench(network("blog", managementPolicy="Observe"))
        await bench.reconcile()
        types = [str(c["type"]) for c in (await host.stored("blog")).status["conditions"]]  # type: ignore[attr-defined]
        assert "Reconciling" in types
        assert "Stalled" not in types

    async def test_one_that_appears_later_is_taken_up_and_one_that_goes_is_let_go(self) -> None:
        host = Host()
        bench = await host.bench(network("blog", **self.SPEC))
        await bench.reconcile()
        assert await host.ready("blog") == ("False", "NetworkNotFound")
        there = await host.create_foreign("compose_default", "fd00:77::/64")
        await again(bench)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")
        await host.engine.remove_network(there)
        await again(bench)
        assert host.rules_of("blog") == frozenset()
        assert "networkID" not in (await host.stored("blog")).status


class TestSuspend:
    async def test_nothing_is_changed_while_it_is_suspended(self) -> None:
        host = Host()
        bench = await applied(host)
        before = await host.snapshot()
        await bench.accept(network("blog", suspend=True, internal=True))
        await again(bench)
        assert await host.snapshot() == before
        assert await host.ready("blog") == ("True", "Suspended")
        assert [(e.type, e.count) for e in await host.events("blog") if e.reason == "Suspended"] == [("Normal", 1)]
        await bench.accept(network("blog", internal=True))
        await again(bench)
        there = await host.docker("blog")
        assert there is not None
        assert there.internal


class TestForeign:
    async def test_a_foreign_network_of_the_name_is_left_alone_and_not_shown_as_ours(self) -> None:
        host = Host()
        there = await host.create_foreign("blog", "fd00:77::/64")
        bench = await host.bench(network())
        await bench.reconcile()
        assert await host.ready("blog") == ("False", "ForeignNetwork")
        assert "networkID" not in (await host.stored("blog")).status
        await host.engine.remove_network(there)
        await again(bench)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")


async def test_a_file_that_changes_while_its_network_is_reconciled_is_applied_by_the_next_run() -> None:
    host = Host()
    bench = await applied(host)
    read = host.net.interfaces
    edits = [network("blog", internal=True)]

    async def edit_meanwhile() -> tuple[Interface, ...]:
        while edits:
            await bench.accept(edits.pop())
        return await read()

    bench.context.converged.clear()
    bench.invalidate_all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host.net, "interfaces", edit_meanwhile)
        await bench.reconcile()
    assert not edits
    await bench.reconcile()
    there = await host.docker("blog")
    assert there is not None
    assert there.internal
