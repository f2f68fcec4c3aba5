from dockerv6.controller.observe import desired_network, observe_network
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.planning.inputs import Observed
from tests.simulation.resources import network
from tests.world import Bench, Host


async def made() -> Bench:
    bench = await Host().bench(network())
    await bench.reconcile()
    return bench


async def look(bench: Bench) -> Observed:
    bench.invalidate_all()
    resource = bench.context.inventory.networks()["blog"]
    stored = bench.context.inventory.get("IPv6Network", "blog")
    assert stored is not None
    return await observe_network(desired_network(resource, bench.context), stored, bench.context)


async def test_everything_is_seen() -> None:
    bench = await made()
    web = bench.host.engine.run_container("web", "blog")
    picture = await look(bench)
    assert picture.engine is not None
    assert picture.applied
    assert [a.container_id for a in picture.attachments] == [web]
    assert picture.remembered == ()
    assert "v6-blog" in picture.host.interfaces
    assert picture.rules.change.empty
    assert len(picture.entropy) == 5


async def test_an_engine_that_does_not_answer_is_part_of_the_observation() -> None:
    bench = await made()
    bench.host.engine.down()
    picture = await look(bench)
    assert picture.engine is None
    assert "Connection refused" in picture.engine_problem
    assert picture.networks.named("blog")


async def test_so_is_one_that_falls_silent_half_way() -> None:
    bench = await made()
    bench.host.engine.run_container("web", "blog")
    for method in ("attachments", "networks_in_use"):
        bench.host.engine.fail_next(method, EngineUnavailable("gone"))
    picture = await look(bench)
    assert (picture.engine, picture.engine_problem) == (None, "gone")


async def test_containers_of_a_removed_network_are_observed() -> None:
    bench = await made()
    web = bench.host.engine.run_container("web", "blog")
    cron = bench.host.engine.run_container("cron", "blog")
    bench.host.engine.stop_container(cron)
    await look(bench)
    await bench.host.remove_by_hand("blog")
    assert {a.container_id for a in (await look(bench)).remembered} == {web, cron}


async def test_a_network_that_is_just_being_removed_is_no_deleted_bridge() -> None:
    bench = await made()
    bench.invalidate_all()
    await bench.context.world.networks()
    there = await bench.host.docker("blog")
    assert there is not None
    await bench.host.engine.remove_network(there.id)
    bench.context.world.host_changed()  # the bridge is seen to be gone before the network is
    resource = bench.context.inventory.networks()["blog"]
    stored = bench.context.inventory.get("IPv6Network", "blog")
    assert stored is not None
    picture = await observe_network(desired_network(resource, bench.context), stored, bench.context)
    assert picture.networks.named("blog") == ()
