"""Which owners are reported when their networks or ports change, whatever resource or container is the cause."""

from tests.simulation.resources import network, policy
from tests.world import Bench, Host


class Heard:
    """A bench, and the owners that were reported."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.host = bench, bench.host
        self.owners: list[str] = []
        bench.context.firewall.on_owner_changed(self.owners.append)

    async def since(self) -> list[str]:
        """Observe everything; return the owners that were reported meanwhile."""
        self.owners.clear()
        self.bench.invalidate_all()
        await self.bench.repair()
        return list(self.owners)


async def heard(host: Host, *names: str) -> Heard:
    """Networks of these names, in place."""
    bench = await host.bench(*(network(n) for n in names))
    for name in names:
        await bench.reconcile(name)
    return Heard(bench)


async def test_the_first_desired_rules_change_no_owner() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    it = Heard(await host.bench(policy("a")))
    assert await it.since() == []
    assert it.bench.context.firewall.assignment.networks["a"]


async def test_a_change_that_concerns_nobody_moves_nobody() -> None:
    it = await heard(Host(), "a")
    version = it.bench.context.world.version
    it.host.engine.run_container("quiet", "a")
    assert await it.since() == []
    assert it.bench.context.world.version > version


async def test_an_owner_that_gets_or_loses_a_port_is_reported_once() -> None:
    it = await heard(Host(), "a", "b")
    web = it.host.engine.run_container("web", "a", ports=("8080:80", "8081:81"))
    assert await it.since() == ["a"]
    assert await it.since() == []
    it.host.engine.stop_container(web)
    assert await it.since() == ["a"]


async def test_a_port_that_comes_free_changes_the_owner_that_waited_for_it() -> None:
    it = await heard(Host(), "a", "b")
    for name in ("a", "b"):
        it.host.engine.run_container(f"web-{name}", name)
        ports = {"ports": [{"port": 8080, "containers": {"name": f"web-{name}"}}]}
        await it.bench.accept(network(name, publish=ports))
    assert await it.since() == ["a", "b"]
    assert it.host.ports() == {"tcp 8080 ::": "web-a:8080"}
    await it.bench.accept(network("a"))
    assert await it.since() == ["a", "b"]
    assert it.host.ports() == {"tcp 8080 ::": "web-b:8080"}


async def test_a_policy_that_goes_moves_the_one_that_has_its_networks_now() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    it = Heard(await host.bench(policy("a"), policy("b"), policy("c", selector={"names": ["nothing"]})))
    await it.since()
    await it.bench.delete("a", "IPv6Policy")
    assert await it.since() == ["policy/a", "policy/b"]


async def test_a_resource_that_claims_a_network_moves_the_policy_that_had_it() -> None:
    host = Host()
    await host.create_foreign("shop", "fd99::/64")
    it = Heard(await host.bench(policy("a")))
    await it.since()
    await it.bench.accept(network("shop", managementPolicy="Observe"))
    assert await it.since() == ["policy/a"]
