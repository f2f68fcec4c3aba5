"""The whole operator: statuses follow what other resources do to networks and ports, on the fake clock."""

from dockerv6.api.traffic import ANY_ADDRESS
from dockerv6.hostnet.model import Listener
from tests.simulation.resources import network, policy
from tests.world import Host

READY = ("True", "ReconcileSucceeded")
KIND = "IPv6Policy"


def publishing(container: str) -> dict[str, object]:
    return {"ports": [{"port": 8080, "containers": {"name": container}}]}


async def test_a_policy_tells_of_the_networks_that_a_deleted_one_leaves_to_it() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(policy("a"), policy("b"))
    async with host.running() as at_work:
        await at_work.let(1)
        status = (await host.stored("b", KIND)).status
        assert (status["networks"], status["claimed"]) == (0, [{"name": "shop", "by": "IPv6Policy/a"}])
        host.files.delete("a")
        await at_work.let(10)
        status = (await host.stored("b", KIND)).status
        assert (status["networks"], status["claimed"]) == (1, [])
        assert host.rules_of("policy/b")


async def test_a_policy_tells_who_claimed_its_network_away() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    host.files.write(policy("a"))
    async with host.running() as at_work:
        await at_work.let(1)
        host.files.write(network("shop", managementPolicy="Observe"))
        await at_work.let(2)
        status = (await host.stored("a", KIND)).status
        assert (status["networks"], status["claimed"]) == (0, [{"name": "shop", "by": "IPv6Network/shop"}])


async def test_a_conflict_ends_with_the_wish_of_the_resource_that_had_the_port() -> None:
    host = Host()
    host.files.write(network("a", publish=publishing("web-a")), network("b"))
    async with host.running() as at_work:
        await at_work.let(1)
        for name in ("a", "b"):
            host.engine.run_container(f"web-{name}", name)
        await at_work.let(1)
        host.files.write(network("b", publish=publishing("web-b")))
        await at_work.let(2)
        assert await host.ready("b") == ("False", "PortConflict")
        host.files.write(network("a"))
        await at_work.let(2)
        assert host.ports() == {"tcp 8080 ::": "web-b:8080"}
        assert (await host.ready("a"), await host.ready("b")) == (READY, READY)


async def test_a_port_that_is_asked_for_is_not_taken_from_a_process_that_came_meanwhile() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        host.engine.run_container("web", "blog")
        await at_work.let(1)
        host.net.listen(Listener("tcp", ANY_ADDRESS, 8080))
        host.files.write(network(publish=publishing("web")))
        await at_work.let(2)
        assert host.ports() == {}
        assert await host.ready("blog") == ("False", "PortTaken")
