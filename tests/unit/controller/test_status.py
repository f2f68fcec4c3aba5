import contextlib
from dataclasses import replace

from dockerv6.api.conditions import ConditionType
from dockerv6.controller.status import condition_status, conditions_before, fields_before
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.reconciler.handler import TemporaryError
from tests.simulation.resources import network
from tests.unit.planning.test_admission import stored
from tests.world import Bench, Host


async def made(**spec: object) -> Bench:
    bench = await Host().bench(network("blog", **spec))
    await bench.reconcile()
    bench.invalidate_all()
    return bench


async def status(bench: Bench) -> dict[str, object]:
    bench.invalidate_all()
    await bench.reconcile()
    return dict((await bench.host.stored("blog")).status)


async def test_running_containers_are_counted_and_shown_with_their_addresses() -> None:
    bench = await made()
    bench.host.engine.run_container("web", "blog")
    cron = bench.host.engine.run_container("cron", "blog")
    bench.host.engine.stop_container(cron)
    found = await status(bench)
    assert found["containers"] == 1
    there = await bench.host.docker("blog")
    assert there is not None
    (attached,) = there.endpoints or ()
    assert found["endpoints"] == [{"container": "web", "ipv6": str(attached.ipv6)}]


async def test_the_status_shows_external_prefixes_and_ndp_proxy_entries() -> None:
    prefix = {"mode": "PrefixTranslation", "prefix": "2001:db8:9::/64"}
    bench = await made(
        addressing={"subnet": "fd00:1:2:3::/64"}, egress=prefix, ndpProxy={"enabled": True, "interface": "eth0"}
    )
    bench.host.engine.run_container("web", "blog")
    await status(bench)
    found = await status(bench)
    assert found["translatedTo"] == ["2001:db8:9::/64"]
    assert found["answeredFor"] == ["2001:db8:9::2 on eth0"]
    ready = next(c for c in conditions_before(await bench.host.stored("blog")) if c.type == "Ready")
    assert ready.message.endswith("egress PrefixTranslation to 2001:db8:9::/64")


async def test_a_network_on_a_parents_link_has_no_egress_of_the_hosts_and_in_layer_3_no_gateway() -> None:
    fixed = {"subnet": "2001:db8:7::/64"}
    host = Host()
    host.engine.add_link("eth0")
    bench = await host.bench(
        network("blog", driver="ipvlan", addressing=fixed, options={"parent": "eth0", "ipvlan_mode": "l3"})
    )
    await bench.reconcile()
    found = await status(bench)
    assert (found["subnet"], found["egress"], found.get("gateway")) == ("2001:db8:7::/64", "None", None)


async def test_while_a_recreation_waits_the_status_shows_what_runs() -> None:
    bench = await made()
    bench.host.engine.run_container("web", "blog")
    before = await status(bench)
    await bench.accept(network("blog", addressing={"subnet": "fd00:5::/64"}))
    after = await status(bench)
    assert (after["subnet"], after["gateway"]) == (before["subnet"], before["gateway"])
    assert await bench.host.ready("blog") == ("False", "RecreateBlocked")


async def test_a_network_that_is_gone_and_can_not_be_made_is_still_known() -> None:
    bench = await made()
    before = await status(bench)
    await bench.host.remove_by_hand("blog")
    bench.host.engine.fail_next("create_network", EngineUnavailable("gone"))
    bench.invalidate_all()
    with contextlib.suppress(TemporaryError):
        await bench.reconcile()
    after = dict((await bench.host.stored("blog")).status)
    assert after["networkID"] == before["networkID"]
    assert await status(bench) != after
    assert await bench.host.condition("blog", "Drifted")


async def test_the_last_applied_hash_is_that_of_what_was_asked_for() -> None:
    bench = await made()
    assert (await status(bench))["lastAppliedHash"] == (await bench.host.stored("blog")).digest


def test_what_was_written_is_read_back() -> None:
    fresh = stored("a")
    assert conditions_before(fresh) == ()
    assert conditions_before(replace(fresh, status={"conditions": "nonsense"})) == ()
    assert fields_before(replace(fresh, status={"conditions": [], "observedGeneration": 1, "x": 2})) == {"x": 2}


def test_the_status_of_one_condition() -> None:
    ready = {"type": "Ready", "status": "False"}
    damaged = replace(stored("x"), status={"conditions": [7, {"type": "FirewallReady"}, ready]})
    assert condition_status(damaged, ConditionType.READY) == "False"
    assert condition_status(damaged, ConditionType.PORTS_PUBLISHED) is None
    assert condition_status(replace(damaged, status={"conditions": "none"}), ConditionType.READY) is None
