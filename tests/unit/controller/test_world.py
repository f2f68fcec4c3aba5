import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

import pytest

from dockerv6.controller.world import World
from dockerv6.dockerd.model import Network
from dockerv6.dockerd.port import EngineApiError, EngineUnavailable
from dockerv6.hostnet.model import Interface, Listener, Route, RouteProtocol
from dockerv6.hostnet.port import HostNetError
from dockerv6.planning.host.interfaces import uplink_bridges
from dockerv6.planning.host.sysctls import FORWARDING
from tests.world import Host


def names(world: World) -> set[str]:
    return {n.name for n in world.known_networks} - {"bridge", "host", "none"}


async def seen(host: Host) -> World:
    world = World(host.engine, host.net, host.clock)
    await world.networks()
    return world


class TestNetworks:
    async def test_nothing_is_known_before_the_first_read(self) -> None:
        host = Host()
        world = World(host.engine, host.net, host.clock)
        assert (world.engine_read, len(world.known_networks)) == (False, 0)
        await world.networks()
        assert not world.engine_read
        await world.containers.get()
        assert world.engine_read

    async def test_one_that_was_named_by_an_event_is_read_alone(self) -> None:
        host = Host()
        world = await seen(host)
        made = await host.create_foreign("x", "fd00::/64")
        world.network_changed(made)
        host.engine.fail_next("networks", EngineApiError("internal error", 500))  # of a list that is not asked for
        await world.networks()
        assert names(world) == {"x"}
        await host.engine.remove_network(made)
        world.network_changed(made)
        await world.networks()
        assert names(world) == set()

    async def test_one_that_the_engine_can_not_inspect_is_read_from_the_list(self) -> None:
        host = Host()
        world = await seen(host)
        odd, good = await host.create_foreign("odd", "fd00::/64"), await host.create_foreign("good", "fd01::/64")
        world.network_changed(odd)
        world.network_changed(good)
        host.engine.fail_next("network", EngineApiError("internal error", 500))
        await world.networks()
        assert names(world) == {"odd", "good"}

    async def test_many_are_read_as_a_list(self) -> None:
        host = Host()
        world = await seen(host)
        for i in range(20):
            world.network_changed(await host.create_foreign(f"n{i}", f"fd00:{i}::/64"))
        calls = len(host.engine.calls)
        await world.networks()
        assert [c.method for c in host.engine.calls[calls:]] == ["networks"]
        assert len(names(world)) == 20

    async def test_what_was_made_while_a_list_was_read_is_not_lost(self) -> None:
        host = Host()
        world = await seen(host)
        answer, ready = asyncio.Event(), asyncio.Event()
        original = host.engine.networks

        async def slow() -> tuple[Network, ...]:
            found = await original()
            ready.set()
            await answer.wait()
            return found

        host.engine.networks = slow  # type: ignore[method-assign]
        world.engine_changed()
        late = asyncio.create_task(world.networks())
        await ready.wait()
        await world.refresh_network(await host.create_foreign("new", "fd00::/64"))
        answer.set()
        await late
        assert names(world) == {"new"}
        host.engine.networks = original  # type: ignore[method-assign]
        assert {n.name for n in await world.networks()} >= {"new"}

    async def test_what_was_removed_while_a_list_was_read_does_not_come_back(self) -> None:
        host = Host()
        old = await host.create_foreign("old", "fd00::/64")
        world = await seen(host)
        world.engine_changed()
        late = asyncio.create_task(world.networks())
        for _ in range(2):
            await asyncio.sleep(0)
        world.network_removed(old)
        await late
        assert names(world) <= {"old"}
        await host.engine.remove_network(old)
        world.network_changed(old)
        await world.networks()
        assert names(world) == set()

    async def test_the_version_grows_only_with_a_change(self) -> None:
        host = Host()
        world = await seen(host)
        version = world.version
        world.engine_changed()
        await world.networks()
        assert world.version == version
        await world.refresh_network(await host.create_foreign("x", "fd00::/64"))
        assert world.version > version

    async def test_one_that_is_gone_is_forgotten_by_its_name(self) -> None:
        host = Host()
        there = await host.create_foreign("x", "fd00::/64")
        world = await seen(host)
        await host.engine.remove_network(there)
        assert await world.refresh_network("x") is None
        assert names(world) == set()


class TestEngine:
    async def test_an_engine_that_does_not_answer_is_not_asked_again_at_once(self) -> None:
        host = Host()
        world = await seen(host)
        host.engine.down()
        world.engine_changed()
        assert (await world.engine_state())[0] is None
        host.engine.up()
        assert "fake" in (await world.engine_state())[1]
        host.clock.advance(1)
        info, problem = await world.engine_state()
        assert info is not None
        assert problem == ""
        assert world.engine_problem == ""

    async def test_what_was_known_stays_known(self) -> None:
        host = Host()
        await host.create_foreign("x", "fd00::/64")
        world = await seen(host)
        host.engine.fail_next("networks", EngineUnavailable("gone"))
        world.engine_changed()
        await world.engine_state()
        assert names(world) == {"x"}

    async def test_attachments_are_read_again_only_for_networks_that_changed(self) -> None:
        host = Host()
        one, two = [await host.create_foreign(n, f"fd00:{n}::/64") for n in ("a", "b")]
        world = await seen(host)
        for network_id in (one, two):
            assert await world.attachments(network_id) == ()
        web = host.engine.run_container("web", "a")
        world.attachment_reported(web, one)
        assert [a.container_name for a in await world.attachments(one)] == ["web"]
        assert world.networks_of(web) == {one}


class TestHost:
    async def test_the_same_again_is_the_same_value(self) -> None:
        host = Host()
        world = await seen(host)
        view = await world.host_view.get()
        world.host_changed()
        assert await world.host_view.get() is view

    async def test_what_forwarding_would_deafen_is_seen(self) -> None:
        host = Host()
        host.net.add_interface(replace((await host.net.interfaces())[0], autoconfigured=True))
        world = await seen(host)
        view = await world.host_view.get()
        assert (view.forwarding, dict(view.accept_ra)) == ("0", {"eth0": "1"})
        host.net.change_sysctl(FORWARDING, "1")
        world.host_changed()
        assert (await world.host_view.get()).forwarding == "1"


class TestContainersAndListeners:
    async def looked(self) -> tuple[Host, World]:
        host = Host()
        await host.create_foreign("shop", "fd99::/64")
        host.engine.run_container("web", "shop", ports=("8080:80",))
        world = World(host.engine, host.net, host.clock)
        await world.refresh()
        return host, world

    async def test_they_are_read_once_until_something_happens_to_them(self) -> None:
        host, world = await self.looked()
        await world.refresh()
        assert [c.method for c in host.engine.calls].count("containers") == 1
        assert [c.name for c in world.known_containers] == ["web"]
        assert {(each.protocol, each.port) for each in world.sockets.known.listeners} == {("tcp", 8080)}

    async def test_whatever_may_have_changed_them_has_them_read_again(self) -> None:
        host, world = await self.looked()
        there = await host.docker("shop")
        assert there is not None
        for number, notify in enumerate((world.containers_changed, world.endpoints_changed, world.engine_changed)):
            await self.one_more(host, world, number, notify)
        await self.one_more(host, world, 3, partial(world.attachment_reported, "x", there.id))

    async def one_more(self, host: Host, world: World, number: int, notify: Callable[[], None]) -> None:
        host.engine.run_container(f"c{number}", "shop", ports=(f"{9000 + number}:80",))
        notify()
        await world.refresh()
        assert len(world.known_containers) == number + 2
        assert len(world.sockets.known.listeners) == number + 2

    async def test_the_version_moves_only_with_a_difference(self) -> None:
        host, world = await self.looked()
        version, containers, sockets = world.version, world.containers.last, world.sockets.known
        world.containers_changed()
        await world.refresh()
        assert world.version == version
        assert world.containers.last is containers
        assert world.sockets.known is sockets
        host.engine.run_container("db", "shop")
        world.containers_changed()
        await world.refresh()
        assert world.version == version + 1
        host.net.listen(Listener("udp", IPv6Address("::"), 53))
        world.containers_changed()
        await world.refresh()
        assert world.version == version + 2

    async def test_sockets_that_can_not_be_read_keep_their_ports(self, monkeypatch: pytest.MonkeyPatch) -> None:
        host, world = await self.looked()
        known = world.sockets.known
        assert known.listeners

        async def broken() -> frozenset[Listener]:
            raise HostNetError("no sock_diag")

        with monkeypatch.context() as patched:
            patched.setattr(host.net, "listeners", broken)
            world.containers_changed()
            await world.refresh()
            assert world.sockets.known == replace(known, problem="no sock_diag")
            assert world.sockets.problem
        await world.refresh()
        assert (world.sockets.known, world.sockets.problem) == (known, "")

    async def test_a_host_that_can_not_be_read_is_as_it_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        host, world = await self.looked()
        known = world.host_view.last

        async def broken() -> tuple[Interface, ...]:
            raise HostNetError("out of memory")

        with monkeypatch.context() as patched:
            patched.setattr(host.net, "interfaces", broken)
            world.host_changed()
            await world.refresh()
            assert (world.host_view.last, "out of memory" in world.host_problem) == (known, True)
            with pytest.raises(HostNetError):
                await World(host.engine, host.net, host.clock).refresh()
        await world.refresh()
        assert world.host_problem == ""

    async def test_an_engine_that_is_away_leaves_those_that_were_seen(self) -> None:
        host, world = await self.looked()
        host.engine.down()
        world.engine_changed()
        await world.refresh()
        assert [c.name for c in world.known_containers] == ["web"]

    async def test_bridges_move_the_version_where_rules_name_them(self) -> None:
        host, world = await self.looked()
        for named in (False, True):
            world.rules_name_bridges = named
            version = world.version
            host.net.add_interface(Interface(70 + named, f"virbr{int(named)}", "bridge", up=True, mtu=1500))
            world.host_changed()
            await world.refresh()
            assert (world.version > version) is named


class TestContainerBridges:
    """A default route of a container's router advertisement makes its bridge no uplink, once it is known as one."""

    ROUTE = Route(IPv6Network("::/0"), "br-x", RouteProtocol.RA, 254)

    def host(self) -> Host:
        host = Host()
        host.net.add_interface(Interface(50, "br-x", "bridge", up=True, mtu=1500))
        host.net.add_route(self.ROUTE)
        return host

    async def test_the_engine_lists_a_network_on_it(self) -> None:
        host = self.host()
        world = host.context().world
        assert uplink_bridges(await world.present_host()) == ("br-x",)
        there = await host.create_foreign("shop", "fd99::/64", bridge="br-x")
        host.net.add_route(self.ROUTE)
        world.host_changed()
        await world.networks()
        assert uplink_bridges(await world.present_host()) == ()
        version = world.version
        await host.engine.remove_network(there)
        host.net.add_interface(Interface(51, "br-x", "bridge", up=True, mtu=1500))
        host.net.add_route(self.ROUTE)
        world.host_changed()
        await world.present_host()
        world.engine_changed()
        await world.networks()
        assert uplink_bridges(await world.present_host()) == ("br-x",)
        assert world.version > version

    async def test_our_table_has_a_network_on_it_while_the_engine_was_not_read(self) -> None:
        world = self.host().context().world
        await world.present_host()
        await world.table_read(frozenset({"br-x", "br-y"}))
        assert uplink_bridges(await world.present_host()) == ()
        await world.table_read(frozenset({"br-y"}))
        assert uplink_bridges(await world.present_host()) == ("br-x",)


async def test_a_bridge_that_the_engine_has_just_created_is_known_with_its_on_link_route() -> None:
    world = Host().context().world
    await world.present_host()
    world.bridge_created("br-x", IPv6Interface("fd99::1/64"))
    view = await world.present_host()
    assert Route(IPv6Network("fd99::/64"), "br-x", RouteProtocol.KERNEL, 254, 256) in view.routes
