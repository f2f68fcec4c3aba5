"""A container that the engine can't inspect harms only itself, and is visible until it can be inspected."""

from dockerv6.dockerd.model import Attachment
from dockerv6.dockerd.port import EngineApiError
from dockerv6.planning.docker.engine import INSPECT_RETRY
from tests.simulation.resources import network
from tests.unit.controller.scenes import again, applied
from tests.world import Host

READY = ("True", "ReconcileSucceeded")
NO_LAYER = "layer is missing (HTTP 500)"
DB = Attachment("", "", running=True, aliases=("postgres",))
MEMBERS = {"members": {"matchLabels": {"join": "blog"}}}


async def aliases(host: Host, container: str) -> tuple[str, ...]:
    live = await host.docker("blog")
    assert live is not None
    return next(a.aliases for a in host.engine.list_attachments(live.id) if a.container_name == container)


async def test_everything_else_goes_on_and_it_is_reported_until_it_ends() -> None:
    host = Host()
    host.files.write(network("blog", **MEMBERS))
    async with host.running() as it:
        await it.let(5)
        host.engine.unreadable["odd"] = NO_LAYER
        host.engine.run_container("odd", "blog", DB, ports=["8080:80"])
        host.engine.run_container("web", "blog", ports=["9090:80"])
        await it.let(5)
        host.engine.run_container("late", labels={"join": "blog"})
        await it.let(60)
        assert host.ports() == {"tcp 8080 ::": "odd:80", "tcp 9090 ::": "web:80"}
        assert await host.attached("blog") == {"odd", "web", "late"}
        assert await host.ready("blog") == READY
        condition = await host.condition("blog", "NetworkReady")
        assert condition is not None
        assert (condition.status, condition.reason) == ("Unknown", "ContainerUnreadable")
        assert condition.message == (
            f"container odd can't be inspected ({NO_LAYER}), so how it is attached is not known completely;"
            " see `docker container inspect odd`, and restart the Docker Engine or create the container again if it"
            " fails there too"
        )
        assert "ContainerUnreadable" in {e.reason for e in await host.events("blog")}
        del host.engine.unreadable["odd"]
        await it.let(2 * INSPECT_RETRY)
        condition = await host.condition("blog", "NetworkReady")
        assert condition is not None
        assert condition.status == "True"


async def test_it_is_not_inspected_at_each_reconcile() -> None:
    host = Host()
    bench = await applied(host)
    host.engine.unreadable["odd"] = NO_LAYER
    host.engine.run_container("odd", "blog")
    await again(bench)
    before = [c.method for c in host.engine.calls].count("attachments")
    for _ in range(3):
        await bench.reconcile("blog")
    assert [c.method for c in host.engine.calls].count("attachments") == before
    host.clock.advance(INSPECT_RETRY)
    await bench.reconcile("blog")
    assert [c.method for c in host.engine.calls].count("attachments") == before + 1


async def test_a_recreation_uses_the_settings_that_were_known_last_also_after_a_restart() -> None:
    host = Host()
    bench = await applied(host, updateStrategy="Recreate")
    host.engine.run_container("db", "blog", DB)
    await again(bench)
    host.engine.unreadable["db"] = NO_LAYER
    await again(bench)
    bench = await host.bench(network("blog", updateStrategy="Recreate", internal=True))
    await bench.reconcile("blog")
    live = await host.docker("blog")
    assert live is not None
    assert live.internal
    assert await aliases(host, "db") == ("postgres",)


async def test_no_recreation_loses_what_was_never_known() -> None:
    host = Host()
    bench = await applied(host)
    host.engine.unreadable["db"] = NO_LAYER
    host.engine.run_container("db", "blog", DB)
    bench = await host.bench(network("blog", updateStrategy="Recreate", internal=True))
    await bench.reconcile("blog")
    assert await host.ready("blog") == ("False", "RecreateBlocked")
    condition = await host.condition("blog", "NetworkReady")
    assert condition is not None
    assert "the settings with which db is attached are unknown" in condition.message
    host.engine.unreadable.clear()
    await again(bench)
    assert await host.ready("blog") == READY
    assert await aliases(host, "db") == ("postgres",)


async def test_a_stopped_one_of_a_removed_network_waits_until_it_can_be_inspected() -> None:
    host = Host()
    host.files.write(network("blog"))
    async with host.running() as it:
        await it.let(5)
        old = await host.docker("blog")
        assert old is not None
        for name in ("db", "gone"):
            host.engine.stop_container(host.engine.run_container(name, "blog", DB))
        host.engine.unreadable |= {"db": NO_LAYER, "gone": NO_LAYER}
        await host.engine.remove_network(old.id)
        await it.let(60)
        assert await host.attached("blog") == frozenset()
        condition = await host.condition("blog", "NetworkReady")
        assert condition is not None
        assert condition.reason == "ContainerUnreadable"
        assert "container db (and 1 more)" in condition.message
    host.engine.remove_container(host.engine.container_ids()["gone"])
    host.engine.unreadable.clear()
    async with host.running() as it:  # and after a restart
        await it.let(60)
        assert await aliases(host, "db") == ("postgres",)
        condition = await host.condition("blog", "NetworkReady")
        assert condition is not None
        assert condition.status == "True"


async def test_an_error_that_concerns_one_network_is_no_engine_that_does_not_answer() -> None:
    host = Host()
    bench = await applied(host)
    await host.create_foreign("other", "fd44::/64")
    await bench.accept(network("other", managementPolicy="Observe"))
    host.engine.run_container("web", "other")
    await again(bench, "other")
    assert await host.ready("other") == READY
    host.engine.fail_next("attachments", EngineApiError("cannot list", 500))
    bench.invalidate_all()
    await bench.reconcile("other")
    assert await host.ready("other") == ("False", "EngineError")
    condition = await host.condition("other", "NetworkReady")
    assert condition is not None
    assert condition.message == (
        "the Docker Engine answers with an error (cannot list); see its log, and restart it if it lasts"
    )
    await bench.reconcile("blog")
    assert await host.ready("blog") == READY
    await bench.reconcile("other")
    assert await host.ready("other") == READY
