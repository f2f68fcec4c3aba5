"""Networks whose pool has another prefix: one after the other, with everybody, and with a way back."""

from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from dockerv6.controller.transit import SCOPE as FORMER
from dockerv6.dockerd.model import Attachment, Network
from dockerv6.dockerd.port import EngineConflict, EngineRefused, EngineUnavailable
from dockerv6.planning.describe import describe
from dockerv6.planning.steps import Disruption
from dockerv6.reconciler.errors import TemporaryError
from dockerv6.reconciler.outcome import Requeue
from tests.simulation.previews import preview
from tests.simulation.resources import network, pool
from tests.world import Bench, Host

OLD, NEW, NEXT = "2001:db8:a00::/56", "2001:db8:b00::/56", "2001:db8:c00::/56"
READY = ("True", "ReconcileSucceeded")
NAMES = ("a", "b", "c")
CHANGING = frozenset({"create_network", "remove_network", "connect", "disconnect"})


def drawing(name: str, **spec: Any) -> Any:
    return network(name, **{"updateStrategy": "Recreate", "addressing": {"poolRef": {"name": "isp"}}, **spec})


async def populated(**spec: Any) -> Bench:
    """Networks of a pool, each with three containers: dynamic, dynamic, and one with an address of its own."""
    host = Host()
    bench = await host.bench(pool("isp", prefix=OLD, **spec.pop("pool", {})), *(drawing(n, **spec) for n in NAMES))
    for name in NAMES:
        await bench.reconcile(name)
        for container in ("x", "y", "z"):
            static = IPv6Address(int((await subnet(host, name)).network_address) + 0x53) if container == "z" else None
            wish = Attachment("", "", running=True, aliases=(f"alias-{container}",), static_ipv6=static)
            host.engine.run_container(f"{container}-{name}", name, wish)
    bench.look_again()
    for name in NAMES:
        assert await bench.reconcile(name) is None
    host.engine.calls.clear()
    return bench


async def moved(bench: Bench, prefix: str = NEW, **spec: Any) -> None:
    await bench.accept(pool("isp", prefix=prefix, **spec))
    bench.look_again()


async def there(host: Host, name: str) -> Network:
    found = await host.docker(name)
    assert found is not None
    return found


async def subnet(host: Host, name: str) -> IPv6Network:
    return next(c.subnet for c in (await there(host, name)).ipv6 if isinstance(c.subnet, IPv6Network))


async def ends(host: Host, name: str) -> dict[str, tuple[int, tuple[str, ...]]]:
    """The part of each container's address that stays, and its aliases."""
    mask = 2**64 - 1
    return {
        a.container_name: (int(a.ipv6 or 0) & mask, a.aliases)
        for a in await host.engine.attachments((await there(host, name)).id)
    }


def done(host: Host) -> list[str]:
    """What the engine was told to change."""
    return [call.method for call in host.engine.calls if call.method in CHANGING]


class TestForward:
    async def test_subnets_keep_their_number_and_containers_their_places(self) -> None:
        bench = await populated()
        host = bench.host
        numbers = {n: int((await subnet(host, n)).network_address) >> 64 & 0xFF for n in NAMES}
        ipv4 = {n: (await there(host, n)).ipv4 for n in NAMES}
        before = {n: await ends(host, n) for n in NAMES}
        await moved(bench)
        for name in NAMES:
            await bench.reconcile(name)
            now = await subnet(host, name)
            assert now.subnet_of(IPv6Network(NEW))
            assert int(now.network_address) >> 64 & 0xFF == numbers[name]
            assert await host.ready(name) == READY
        assert {n: await ends(host, n) for n in NAMES} == before
        assert {n: (await there(host, n)).ipv4 for n in NAMES} == ipv4

    async def test_rules_of_the_new_subnet_are_there_before_the_network_is(self) -> None:
        bench = await populated()
        original = bench.host.engine.create_network
        seen: list[bool] = []

        async def create(spec: Any) -> str:
            asked = next(c.subnet for c in spec.ipam if isinstance(c.subnet, IPv6Network))
            seen.append(any(str(asked) in rule for rule in bench.host.rules_of("a")))
            return await original(spec)

        bench.host.engine.create_network = create  # type: ignore[method-assign]
        await moved(bench)
        await bench.reconcile("a")
        assert seen == [True]
        assert not any("2001:db8:a00" in rule for rule in bench.host.rules_of("a"))

    async def test_it_is_told_what_was_done(self) -> None:
        bench = await populated()
        await moved(bench)
        await bench.reconcile("a")
        told = {e.reason: e.message for e in await bench.host.events("a")}
        assert told["Recreated"].startswith("it was made anew: subnet is ")
        assert "the subnet keeps its number" in told["SubnetAllocated"]
        assert told["EndpointAttached"]

    @pytest.mark.parametrize(("strategy", "said"), [("WhenIdle", "x-a, y-a, z-a"), ("Never", "Strategy is Never")])
    async def test_the_strategy_decides_whether_it_may(self, strategy: str, said: str) -> None:
        bench = await populated(updateStrategy=strategy)
        await moved(bench)
        await bench.reconcile("a")
        assert await bench.host.ready("a") == ("False", "RecreateBlocked")
        found = await bench.host.condition("a", "NetworkReady")
        assert found is not None
        assert said in found.message
        assert done(bench.host) == []
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(OLD))
        held = await bench.host.bound("a")
        assert held is not None
        assert held.prefix == await subnet(bench.host, "a")

    async def test_an_idle_one_follows_when_its_containers_have_stopped(self) -> None:
        bench = await populated(updateStrategy="WhenIdle")
        await moved(bench)
        for container in await bench.host.engine.running():
            bench.host.engine.stop_container(container)
        bench.look_again()
        await bench.reconcile("a")
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(NEW))
        assert await bench.host.attached("a") == {"x-a", "y-a", "z-a"}

    async def test_a_pool_that_became_too_small_takes_nothing_away(self) -> None:
        bench = await populated()
        await moved(bench, "2001:db8:d00::/63")
        for name in NAMES:
            await bench.reconcile(name)
        new = [n for n in NAMES if (await subnet(bench.host, n)).subnet_of(IPv6Network("2001:db8:d00::/63"))]
        assert new == ["a", "b"]
        assert await bench.host.ready("c") == ("False", "PoolExhausted")
        assert await bench.host.attached("c") == {"x-c", "y-c", "z-c"}


class TestTurns:
    """At most ``maxUnavailable`` networks of a pool are away."""

    async def cut_off(self, bench: Bench, name: str) -> None:
        """The engine is lost while the network is away."""
        bench.host.engine.fail_next("create_network", EngineUnavailable("gone"))
        bench.look_again()
        with pytest.raises(TemporaryError):
            await bench.reconcile(name)

    async def test_the_others_wait_and_say_for_whom(self) -> None:
        bench = await populated()
        await moved(bench)
        await self.cut_off(bench, "b")
        bench.look_again()
        assert isinstance(await bench.reconcile("a"), Requeue)
        assert await bench.host.ready("a") == ("False", "Renumbering")
        found = await bench.host.condition("a", "NetworkReady")
        assert found is not None
        assert "waits for its turn: b of the same pool" in found.message
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(OLD))

    async def test_so_they_do_after_a_restart(self) -> None:
        bench = await populated()
        await moved(bench)
        await self.cut_off(bench, "b")
        again = await bench.host.bench()
        await again.context.transit.load()
        await again.reconcile("a")
        assert await bench.host.ready("a") == ("False", "Renumbering")
        await again.reconcile("b")
        await again.reconcile("a")
        assert await bench.host.ready("a") == READY
        assert await bench.host.store.records(FORMER) == {}

    async def test_who_is_done_lets_the_others_and_the_pool_know(self) -> None:
        bench = await populated()
        await moved(bench)
        rung: list[tuple[str, str]] = []
        bench.context.enqueue = lambda key, why: rung.append((str(key), why))
        await bench.reconcile("b")
        done = "IPv6Network b is done"
        assert {key for key, why in rung if why == done} == {
            "IPv6Network/a",
            "IPv6Network/c",
            "IPv6Pool/isp",
            "Host/garbage",
        }

    async def test_several_may_be_away_where_the_pool_allows_it(self) -> None:
        bench = await populated(pool={"maxUnavailable": 2})
        await moved(bench, maxUnavailable=2)
        await self.cut_off(bench, "a")
        await self.cut_off(bench, "b")
        bench.look_again()
        await bench.reconcile("c")
        assert await bench.host.ready("c") == ("False", "Renumbering")

    async def test_networks_of_other_pools_need_not_wait(self) -> None:
        bench = await populated()
        await bench.accept(pool("lan", prefix="fd00:1::/48"), drawing("d", addressing={"poolRef": {"name": "lan"}}))
        await bench.reconcile("d")
        await moved(bench)
        await self.cut_off(bench, "a")
        await bench.accept(pool("lan", prefix="fd00:2::/48"))
        bench.look_again()
        await bench.reconcile("d")
        assert (await subnet(bench.host, "d")).subnet_of(IPv6Network("fd00:2::/48"))

    async def test_one_that_is_away_is_waited_for_while_the_engine_is_too(self) -> None:
        bench = await populated()
        await moved(bench)
        await self.cut_off(bench, "b")
        bench.host.engine.down()
        bench.look_again()
        await bench.reconcile("b")
        assert list(await bench.host.store.records(FORMER)) == ["b"]
        bench.host.engine.up()
        bench.look_again()
        await bench.reconcile("a")
        assert await bench.host.ready("a") == ("False", "Renumbering")
        assert "Recreated" not in {e.reason for e in await bench.host.events("b")}

    async def test_a_resource_that_is_deleted_meanwhile_gives_its_place_to_the_next(self) -> None:
        bench = await populated()
        await moved(bench)
        await self.cut_off(bench, "b")
        for container in await bench.host.engine.running():
            bench.host.engine.stop_container(container)
        await bench.delete("b")
        bench.look_again()
        assert await bench.finalize("b") is None
        await bench.reconcile("a")
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(NEW))


REFUSALS = {
    "the network": ("create_network", EngineConflict("Pool overlaps with other one")),
    "an attachment": ("connect", EngineRefused("Address already in use")),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=list(REFUSALS))
class TestBack:
    """What the engine refuses it would refuse again."""

    async def refused(self, refusal: tuple[str, Exception]) -> tuple[Bench, dict[str, Any], IPv6Network]:
        bench = await populated()
        was = {n: await ends(bench.host, n) for n in NAMES}, await subnet(bench.host, "a")
        await moved(bench)
        bench.host.engine.fail_next(*refusal)
        assert await bench.reconcile("a") == Requeue(0.0)
        return bench, *was

    async def test_everything_is_as_it_was(self, refusal: tuple[str, Exception]) -> None:
        bench, was, old = await self.refused(refusal)
        host = bench.host
        assert await subnet(host, "a") == old
        assert await ends(host, "a") == was["a"]
        held = await host.bound("a")
        assert held is not None
        assert held.prefix == old
        assert any(str(old) in rule for rule in host.rules_of("a"))
        assert not any("2001:db8:b00" in rule for rule in host.rules_of("a"))
        assert await host.store.records(FORMER) == {}

    async def test_it_is_told_and_not_tried_again(self, refusal: tuple[str, Exception]) -> None:
        bench, _, old = await self.refused(refusal)
        bench.host.engine.calls.clear()
        for _ in range(3):
            bench.look_again()
            await bench.reconcile("a")
        assert await bench.host.ready("a") == ("False", "RolledBack")
        found = await bench.host.condition("a", "NetworkReady")
        assert found is not None
        assert str(refusal[1]) in found.message
        assert str(old) in found.message
        assert done(bench.host) == []
        (event,) = [e for e in await bench.host.events("a") if e.reason == "RolledBack"]
        assert event.type == "Warning"

    async def test_the_others_may_go_on(self, refusal: tuple[str, Exception]) -> None:
        bench, _, _ = await self.refused(refusal)
        bench.look_again()
        await bench.reconcile("b")
        assert await bench.host.ready("b") == READY
        assert (await subnet(bench.host, "b")).subnet_of(IPv6Network(NEW))

    async def test_it_is_tried_again_when_the_pool_has_another_prefix(self, refusal: tuple[str, Exception]) -> None:
        bench, was, _ = await self.refused(refusal)
        await moved(bench, NEXT)
        await bench.reconcile("a")
        assert await bench.host.ready("a") == READY
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(NEXT))
        assert await ends(bench.host, "a") == was["a"]

    async def test_it_is_in_order_when_the_pool_has_its_old_prefix_again(self, refusal: tuple[str, Exception]) -> None:
        bench, was, old = await self.refused(refusal)
        bench.host.engine.calls.clear()
        await moved(bench, OLD)
        await bench.reconcile("a")
        assert await bench.host.ready("a") == READY
        assert done(bench.host) == []
        assert (await subnet(bench.host, "a"), await ends(bench.host, "a")) == (old, was["a"])

    async def test_it_is_tried_again_after_a_restart(self, refusal: tuple[str, Exception]) -> None:
        bench, was, _ = await self.refused(refusal)
        again = await bench.host.bench()
        await again.context.transit.load()
        await again.reconcile("a")
        assert await bench.host.ready("a") == READY
        assert await ends(bench.host, "a") == was["a"]

    @pytest.mark.parametrize("broken", ["disconnect", "remove_network", "create_network", "connect"])
    async def test_a_way_back_that_ends_half_way_is_gone_on(self, refusal: tuple[str, Exception], broken: str) -> None:
        bench = await populated()
        host = bench.host
        was = await ends(host, "a")
        await moved(bench)
        host.engine.fail_next(*refusal)
        original = getattr(host.engine, broken)
        refused = False

        async def gone(*args: Any, **named: Any) -> Any:
            if refused:
                raise EngineUnavailable("gone")
            return await original(*args, **named)

        fallible = getattr(host.engine, refusal[0])

        async def notice(*args: Any, **named: Any) -> Any:
            nonlocal refused
            try:
                return await (gone if broken == refusal[0] else fallible)(*args, **named)
            except EngineRefused:
                refused = True
                raise

        setattr(host.engine, broken, gone)
        setattr(host.engine, refusal[0], notice)
        try:
            await bench.reconcile("a")
        except TemporaryError:
            host.engine.calls.clear()
        setattr(host.engine, broken, original)
        setattr(host.engine, refusal[0], fallible)
        for _ in range(3):
            bench.look_again()
            await bench.reconcile("a")
        assert await ends(host, "a") == was
        held = await host.bound("a")
        assert held is not None
        assert held.prefix == await subnet(host, "a")
        assert await host.store.records(FORMER) == {}


def refuse_on(host: Host, prefix: str, container: str = "") -> None:
    """From now on the engine refuses networks of that prefix, or a container's way onto them."""
    create, connect = host.engine.create_network, host.engine.connect

    async def creating(spec: Any) -> str:
        if not container and any(c.subnet.version == 6 and c.subnet.subnet_of(IPv6Network(prefix)) for c in spec.ipam):
            raise EngineConflict("Pool overlaps with other one")
        return await create(spec)

    async def connecting(network_id: str, attachment: Attachment) -> None:
        there = await host.engine.network(network_id)
        assert there is not None
        here = next(c.subnet for c in there.ipv6 if isinstance(c.subnet, IPv6Network))
        if attachment.container_name == container and here.subnet_of(IPv6Network(prefix)):
            raise EngineRefused("Address already in use")
        await connect(network_id, attachment)

    host.engine.create_network = creating  # type: ignore[method-assign]
    host.engine.connect = connecting  # type: ignore[method-assign]


class TestRefusedAfterARestart:
    """Whoever takes up what another process began knows the way back as well."""

    async def cut_off(self, method: str) -> tuple[Bench, dict[str, Any]]:
        bench = await populated()
        was = await ends(bench.host, "a")
        await moved(bench)
        bench.host.engine.fail_next(method, EngineUnavailable("gone"))
        with pytest.raises(TemporaryError):
            await bench.reconcile("a")
        again = await bench.host.bench()
        await again.context.transit.load()
        return again, was

    async def check(self, bench: Bench, was: dict[str, Any]) -> None:
        host = bench.host
        for _ in range(3):
            bench.look_again()
            try:
                await bench.reconcile("a")
            except TemporaryError:
                host.clock.advance(60)
        assert await ends(host, "a") == was
        assert (await subnet(host, "a")).subnet_of(IPv6Network(OLD))
        assert await host.ready("a") == ("False", "RolledBack")
        assert await host.store.records(FORMER) == {}

    async def test_a_network_that_can_never_be_made_comes_back_as_it_was(self) -> None:
        bench, was = await self.cut_off("create_network")
        refuse_on(bench.host, NEW)
        await self.check(bench, was)

    async def test_a_network_that_somebody_can_never_be_attached_to_comes_back_as_it_was(self) -> None:
        bench, was = await self.cut_off("connect")
        refuse_on(bench.host, NEW, "y-a")
        await self.check(bench, was)


async def test_a_plan_shows_the_renumbering_and_who_is_disconnected() -> None:
    bench = await populated()
    bench.host.files.write(pool("isp", prefix=NEW))
    before, records = await bench.host.snapshot(), await bench.host.store.records(FORMER)
    plans = await preview(bench.host)
    assert plans["a"].disruption is Disruption.DISCONNECTS
    assert plans["a"].disconnected == 3
    said = " ".join(describe(step) for step in plans["a"].steps)
    assert "2001:db8:b00:" in said
    assert [str(f.reason) for f in plans["b"].findings] == ["Renumbering"]
    assert await bench.host.snapshot() == before
    assert await bench.host.store.records(FORMER) == records == {}
    assert done(bench.host) == []
