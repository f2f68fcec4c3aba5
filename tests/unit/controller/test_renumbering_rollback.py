"""The rollback of a network that the engine refuses, or to which it refuses to attach a container."""

from ipaddress import IPv6Network
from typing import Any

import pytest

from dockerv6.controller.recreations import RECREATIONS as FORMER
from dockerv6.controller.recreations import ROLLBACK_RETRY
from dockerv6.dockerd.model import Attachment, NetworkSpec, SubnetConfig
from dockerv6.dockerd.port import EngineApiError, EngineConflict, EngineUnavailable
from dockerv6.reconciler.handler import Requeue, TemporaryError
from tests.unit.controller.renumbered import NAMES, NEW, NEXT, OLD, READY, ends, moved, populated, subnet
from tests.world import Bench, Host

REFUSALS = {
    "the network": ("create_network", EngineConflict("Pool overlaps with other one")),
    "an attachment": ("connect", EngineApiError("Address already in use")),
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

    async def test_a_rollback_is_reported_and_not_tried_again(self, refusal: tuple[str, Exception]) -> None:
        bench, _, old = await self.refused(refusal)
        bench.host.engine.calls.clear()
        for _ in range(3):
            bench.invalidate_all()
            await bench.reconcile("a")
        assert await bench.host.ready("a") == ("False", "RolledBack")
        found = await bench.host.condition("a", "NetworkReady")
        assert found is not None
        assert str(refusal[1]) in found.message
        assert str(old) in found.message
        assert bench.host.engine.changes == []
        (event,) = [e for e in await bench.host.events("a") if e.reason == "RolledBack"]
        assert event.type == "Warning"

    async def test_the_others_may_go_on(self, refusal: tuple[str, Exception]) -> None:
        bench, _, _ = await self.refused(refusal)
        bench.invalidate_all()
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
        assert bench.host.engine.changes == []
        assert (await subnet(bench.host, "a"), await ends(bench.host, "a")) == (old, was["a"])

    async def test_it_is_tried_again_after_a_restart(self, refusal: tuple[str, Exception]) -> None:
        bench, was, _ = await self.refused(refusal)
        again = await bench.host.bench()
        await again.context.recreations.load()
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
            except EngineApiError:
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
            bench.invalidate_all()
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
            raise EngineApiError("Address already in use")
        await connect(network_id, attachment)

    host.engine.create_network = creating  # type: ignore[method-assign]
    host.engine.connect = connecting  # type: ignore[method-assign]


class TestRefusedAfterARestart:
    """A process that continues what another one began can roll it back too."""

    async def cut_off(self, method: str) -> tuple[Bench, dict[str, Any]]:
        bench = await populated()
        was = await ends(bench.host, "a")
        await moved(bench)
        bench.host.engine.fail_next(method, EngineUnavailable("gone"))
        with pytest.raises(TemporaryError):
            await bench.reconcile("a")
        again = await bench.host.bench()
        await again.context.recreations.load()
        return again, was

    async def check(self, bench: Bench, was: dict[str, Any]) -> None:
        host = bench.host
        for _ in range(3):
            bench.invalidate_all()
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

    async def test_a_network_that_refuses_a_container_is_rolled_back(self) -> None:
        bench, was = await self.cut_off("connect")
        refuse_on(bench.host, NEW, "y-a")
        await self.check(bench, was)

    async def test_a_network_whose_new_subnet_was_taken_meanwhile_is_rolled_back_and_gets_a_free_one(self) -> None:
        bench, was = await self.cut_off("create_network")
        host, allocation = bench.host, await bench.host.bound("a")
        assert allocation is not None
        usurper = NetworkSpec("usurper", enable_ipv4=False, ipam=(SubnetConfig(allocation.prefix),))
        await host.engine.create_network(usurper)
        bench.invalidate_all()
        assert await bench.reconcile("a") == Requeue(0.0)
        assert await ends(host, "a") == was
        assert (await subnet(host, "a")).subnet_of(IPv6Network(OLD))
        bench.invalidate_all()
        await bench.reconcile("a")
        assert (await subnet(host, "a")).subnet_of(IPv6Network(NEW))
        assert not (await subnet(host, "a")).overlaps(allocation.prefix)
        assert await ends(host, "a") == was


class TestBothRefused:
    """The engine refuses to attach a container to the new network, and refuses the previous network too."""

    async def test_the_new_network_stays_instead_of_both_in_turn(self) -> None:
        bench = await populated()
        engine = bench.host.engine
        await moved(bench)
        create, connect = engine.create_network, engine.connect

        async def refuse_the_previous(spec: NetworkSpec) -> str:
            if spec.name == "a" and any(
                c.subnet.overlaps(IPv6Network(OLD)) for c in spec.ipam if isinstance(c.subnet, IPv6Network)
            ):
                raise EngineConflict("Pool overlaps with other one")
            return await create(spec)

        async def refuse_one(network_id: str, endpoint: Attachment) -> None:
            there = await engine.network(network_id)
            renumbered = there is not None and any(c.subnet.overlaps(IPv6Network(NEW)) for c in there.ipv6)
            if renumbered and endpoint.container_name == "y-a":
                raise EngineApiError("never")
            await connect(network_id, endpoint)

        setattr(engine, "create_network", refuse_the_previous)  # noqa: B010 - mypy knows the method
        setattr(engine, "connect", refuse_one)  # noqa: B010 - mypy knows the method
        for _ in range(6):
            bench.invalidate_all()
            with pytest.raises(TemporaryError):
                await bench.reconcile("a")
        engine.calls.clear()
        for _ in range(3):
            bench.invalidate_all()
            with pytest.raises(TemporaryError):
                await bench.reconcile("a")
        assert not {"create_network", "remove_network"} & set(engine.changes)
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(NEW))
        setattr(engine, "create_network", create)  # noqa: B010 - mypy knows the method
        await bench.host.clock.run_for(ROLLBACK_RETRY)
        bench.invalidate_all()
        assert await bench.reconcile("a") == Requeue(0.0)
        assert (await subnet(bench.host, "a")).subnet_of(IPv6Network(OLD))
