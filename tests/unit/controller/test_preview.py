from dataclasses import replace

from dockerv6.api.network import IPv6Network
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.planning.addressing.tracked_prefixes import SETTLE
from tests.simulation.preview import preview
from tests.simulation.provider import Provider
from tests.simulation.resources import network, pool
from tests.world import Host


async def test_a_preview_changes_nothing() -> None:
    host = Host()
    host.files.write(network("a"), network("b"))
    before = await host.snapshot()
    plans = await preview(host)
    assert [type(s).__name__ for s in plans["a"].steps][-1] == "CreateNetwork"
    assert await host.snapshot() == before
    assert await host.store.objects() == ()
    assert host.engine.changes == []
    assert host.firewall.commits == 0


async def test_what_is_planned_does_not_overlap() -> None:
    host = Host()
    host.files.write(pool(prefix="fd00:1::/63"), *(network(n) for n in ("a", "b", "c")))
    plans = await preview(host)
    reasons = sorted(str(f.reason) for n in "abc" for f in plans[n].findings)
    assert reasons == ["PoolExhausted"]


async def test_what_has_converged_has_an_empty_plan() -> None:
    host = Host()
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(2)
    plans = await preview(host)
    assert plans["a"].empty
    assert plans["garbage"].empty


async def test_labels_without_effect_are_warnings_of_a_plan_of_their_own_if_there_are_any() -> None:
    host = Host()
    host.files.write(network("a"))
    host.engine.run_container("web", "bridge", labels={"dockerv6.io/network": "a", "dockerv6.io/nework": "a"})
    plans = await preview(host)
    assert [type(s).__name__ for s in plans["a"].steps][-1] == "AttachMember"
    (warning,) = plans["labels"].warnings
    assert (warning.reason, "did you mean dockerv6.io/network?" in warning.message) == ("LabelIgnored", True)
    host.engine.down()
    assert "labels" not in await preview(host)


async def test_what_it_calls_blocked_is_what_is_not_ready() -> None:
    host = Host()
    host.files.write(*(network(name) for name in ("busy", "fine", "sleeps")))
    async with host.running() as at_work:
        await at_work.let(2)
        host.engine.run_container("web", "busy")
        host.files.write(network("busy", bridge={"mtu": 1400}), network("sleeps", suspend=True))
        host.files.write(network("asleep", suspend=True), network("waits", managementPolicy="Observe"))
        host.files.write(pool("empty", fromInterface={"name": "ppp0"}))
        await at_work.let(20)
    plans = await preview(host)
    kinds = dict.fromkeys(("busy", "fine", "sleeps", "asleep", "waits"), "IPv6Network") | {"empty": "IPv6Pool"}
    ready = {name: (await host.ready(name, kind))[0] == "True" for name, kind in kinds.items()}
    assert ready == {name: name in ("fine", "sleeps") for name in kinds}
    assert {name: not plans[name].obstacles for name in kinds} == ready


async def test_what_the_prune_guard_keeps_is_blocked() -> None:
    host = Host()
    host.files.write(*(network(name) for name in "abcde"))
    async with host.running() as at_work:
        await at_work.let(2)
        host.files.delete(*"abcd")
        await at_work.let(20)
    plans = await preview(host)
    for name in "abcde":
        assert bool(plans[name].obstacles) == ((await host.ready(name))[0] != "True") == (name != "e")


async def test_a_deletion_is_shown_without_its_grace() -> None:
    host = Host()
    host.files.write(network("a"), network("b"))
    async with host.running() as at_work:
        await at_work.let(2)
    host.files.delete("a")
    plans = await preview(host)
    assert next(type(s).__name__ for s in plans["a"].steps) == "RemoveNetwork"


async def test_a_directory_that_was_replaced_by_an_empty_one_deletes_nothing_here_either() -> None:
    host = Host()
    host.files.write(network("a"))
    async with host.running() as at_work:
        await at_work.let(2)
    host.files.contents.clear()
    host.files.root = replace(host.files.root, identity="9:9")
    assert (await preview(host))["a"].empty


ISP = pool("isp", fromInterface={"name": "eth0"})


def drawing(name: str) -> IPv6Network:
    return network(name, updateStrategy="Recreate", addressing={"poolRef": {"name": "isp"}})


async def test_a_change_of_the_prefix_is_shown_when_it_is_believed_and_not_before() -> None:
    host = Host()
    provider = Provider(host)
    provider.delegate("2001:db8:a00::/56")
    host.files.write(ISP, drawing("a"), drawing("b"))
    async with host.running() as at_work:
        await at_work.let(2)
        host.engine.run_container("web", "a")
        await at_work.let(2)
    provider.replace_delegations("2001:db8:b00::/56")
    assert all(plan.empty for plan in (await preview(host)).values())
    async with host.running() as at_work:
        await at_work.let(1)  # it has seen it, and waits
    host.clock.advance(SETTLE)
    before, records = await host.snapshot(), await host.store.records("followed")
    plans = await preview(host)
    assert plans["a"].disconnected == 1
    assert [str(f.reason) for f in plans["b"].findings] == ["Renumbering"]
    assert await host.snapshot() == before
    assert await host.store.records("followed") == records
    assert await host.store.records("former") == {}


async def test_a_prefix_that_is_gone_stays_in_a_preview_too() -> None:
    host = Host()
    provider = Provider(host)
    provider.delegate("2001:db8:a00::/56")
    host.files.write(ISP, drawing("a"))
    async with host.running() as at_work:
        await at_work.let(2)
        provider.undelegate("2001:db8:a00::/56")
        provider.withdraw("2001:db8:1::/64")
        await at_work.let(10)
    plan = (await preview(host))["a"]
    assert plan.empty
    assert [str(f.reason) for f in plan.findings] == ["PrefixWithdrawn"]


async def test_a_preview_counts_recreations_in_flight() -> None:
    host = Host()
    provider = Provider(host)
    provider.delegate("2001:db8:a00::/56")
    host.files.write(ISP, drawing("a"), drawing("b"))
    async with host.running() as at_work:
        await at_work.let(2)
        provider.replace_delegations("2001:db8:b00::/56")
        host.engine.fail_next("create_network", EngineUnavailable("gone"), times=50)
        await at_work.let(2 * SETTLE)
        assert len(await host.ours()) == 1
    host.engine.clear_faults()
    plans = await preview(host)
    waiting = [name for name in ("a", "b") if [str(f.reason) for f in plans[name].findings] == ["Renumbering"]]
    assert waiting == [n.name for n in await host.ours()]
