"""After a flush of the whole packet filter, nothing is taken away that the engine can't put back, and all say so."""

from dockerv6.controller.engine_chains import GRACE, EngineChains
from dockerv6.dockerd.model import NetworkSpec
from tests.simulation.resources import network, policy
from tests.world import ENGINE_CHAINS, Host

MISSING = "EngineChainsMissing"
STACK = {"stack": "blog"}


def restart_engine(host: Host, chains: frozenset[str] = ENGINE_CHAINS) -> None:
    """As `systemctl restart docker`: the chains are back, and the default bridge is another network."""
    host.engine_chains = chains
    host.engine.restart()


async def test_missing_chains_are_reported_and_cleared_by_a_restart() -> None:
    host = Host()
    host.files.write(network(), policy(selector={"prefixes": ["fc00::/7"]}))
    async with host.running() as at_work:
        await at_work.let(5)
        host.engine_chains = frozenset({"ip6 nat", "ip6 filter"})
        await at_work.let(10)
        found = await host.condition("blog", "HostReady")
        assert found is not None
        assert (found.status, found.reason) == ("False", MISSING)
        assert "(ip filter, ip nat)" in found.message
        assert "`systemctl restart docker`" in found.message
        assert await host.ready("blog") == ("False", MISSING)
        assert "systemctl restart docker" in at_work.context.problems.check()
        restart_engine(host)
        await at_work.let(10)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")
        assert at_work.context.problems.check() == ""


async def test_a_reload_of_firewalld_is_no_problem() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(5)
        host.engine_chains = frozenset()
        await at_work.let(GRACE - 1)
        host.engine_chains = ENGINE_CHAINS
        await at_work.let(20)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")
        assert not [e for e in await host.events("blog") if e.reason == MISSING]
        assert not [e for e in await host.events("engine-chains", "Host") if e.reason == MISSING]


async def test_no_container_is_detached_and_no_network_removed() -> None:
    host = Host()
    host.files.write(network(updateStrategy="Recreate"))
    async with host.running() as at_work:
        await at_work.let(5)
        host.engine.run_container("web", "blog")
        await at_work.let(5)
        before = await host.docker("blog")
        host.engine_chains = frozenset()
        host.files.write(network(updateStrategy="Recreate", internal=True))
        await at_work.let(20)
        assert await host.docker("blog") == before
        found = await host.condition("blog", "HostReady")
        assert found is not None
        assert "this waits for it: detach container web; remove Docker network blog" in found.message
        restart_engine(host)
        await at_work.let(10)
        after = await host.docker("blog")
        assert after is not None
        assert after.internal
        assert await host.attached("blog") == {"web"}


async def test_a_removed_network_waits_and_keeps_its_rules() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(5)
        rules = host.rules_of("blog")
        host.engine_chains = frozenset()
        await host.remove_by_hand("blog")
        await at_work.let(10)
        assert await host.docker("blog") is None
        assert host.rules_of("blog") == rules
        assert await host.ready("blog") == ("False", MISSING)
        restart_engine(host)
        await at_work.let(10)
        assert await host.docker("blog") is not None


async def test_members_wait() -> None:
    host = Host()
    host.files.write(network(members={"matchLabels": STACK}))
    async with host.running() as at_work:
        await at_work.let(5)
        host.engine_chains = frozenset()
        host.engine.run_container("web", "bridge", labels=STACK)
        await at_work.let(10)
        assert await host.attached("blog") == frozenset()
        assert await host.ready("blog") == ("False", MISSING)
        restart_engine(host)
        await at_work.let(10)
        assert await host.attached("blog") == {"web"}


async def test_chains_that_an_engine_never_had_are_not_missed() -> None:
    host = Host()
    host.engine_chains = frozenset()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(20)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")


async def test_an_engine_that_is_restarted_without_iptables_misses_none() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(5)
        restart_engine(host, frozenset())
        await at_work.let(20)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")


async def test_an_engine_that_keeps_its_default_bridge_is_another_process_too() -> None:
    """As with live-restore and running containers, after a change to the engine's nftables backend."""
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(5)
        host.engine_chains = frozenset({"ip docker-bridges", "ip6 docker-bridges"})
        host.engine.down()
        host.engine.up()
        await at_work.let(20)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")


async def test_chains_that_docker_ipv6nat_may_have_made_are_not_missed() -> None:
    host = Host()
    host.engine_chains = frozenset({"ip filter", "ip nat", "ip6 filter", "ip6 nat"})
    found: list[str] = ["docker-ipv6nat runs"]
    context = host.context()
    chains = EngineChains(host.read_engine_chains, host.store, context.world, host.clock, rival=lambda: "".join(found))
    await chains.check(fresh=0.0)
    host.engine_chains = frozenset({"ip filter", "ip nat"})  # `dockerv6 cleanup docker-ipv6nat`
    await chains.check(fresh=0.0)
    assert chains.missing == ""
    found.clear()
    host.engine_chains = frozenset({"ip filter"})
    await chains.check(fresh=0.0)
    assert "(ip nat)" in chains.missing


async def test_before_docker_ipv6nat_was_searched_no_ipv6_chains_are_taken_for_the_engines() -> None:
    host = Host()
    host.engine_chains = frozenset({"ip filter", "ip6 filter"})
    rivals: list[str | None] = [None]
    chains = EngineChains(
        host.read_engine_chains, host.store, host.context().world, host.clock, rival=lambda: rivals[0]
    )
    await chains.check(fresh=0.0)
    host.engine_chains = frozenset({"ip filter"})
    await chains.check(fresh=0.0)
    assert chains.missing == ""
    host.engine_chains, rivals[0] = frozenset({"ip filter", "ip6 filter"}), ""
    await chains.check(fresh=0.0)
    host.engine_chains, rivals[0] = frozenset({"ip filter"}), None  # they were recorded, and stay so
    await chains.check(fresh=0.0)
    assert "(ip6 filter)" in chains.missing


async def test_another_operator_knows_what_was_there() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(5)
    host.engine_chains = frozenset()
    async with host.running() as at_work:
        await at_work.let(10)
        assert await host.ready("blog") == ("False", MISSING)


async def test_a_problem_of_an_earlier_operator_ends() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(5)
        host.engine_chains = frozenset()
        await at_work.let(10)
        assert at_work.context.problems.check()
    restart_engine(host)
    async with host.running() as at_work:
        await at_work.let(10)
        assert at_work.context.problems.check() == ""


async def test_other_networks_of_the_engine_do_not_matter() -> None:
    host = Host()
    host.files.write(network(driver="macvlan", options={"parent": "eth0"}))
    async with host.running() as at_work:
        await at_work.let(5)
        host.engine_chains = frozenset()
        await host.engine.create_network(NetworkSpec("other", enable_ipv6=False))
        await at_work.let(10)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")
