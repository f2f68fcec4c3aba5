"""Engines send the event of an attachment or a new name before their list of containers has it."""

from dockerv6.controller.world import World
from dockerv6.dockerd.model import Attachment
from tests.world import Host


class Scene:
    """Two networks and a running container on the first."""

    def __init__(self, host: Host, one: str, two: str) -> None:
        self.host, self.one, self.two = host, one, two
        self.web = host.engine.run_container("web", "one")
        self.world = World(host.engine, host.net, host.clock)

    async def look(self) -> bool:
        """Read the list as it is now; gives whether it is behind."""
        self.world.containers_changed()
        await self.world.refresh()
        return self.world.containers_lag

    async def connect(self, network_id: str) -> None:
        await self.host.engine.connect(network_id, Attachment(self.web, "web", running=True))


async def scene() -> Scene:
    host = Host()
    one, two = [await host.create_foreign(n, subnet) for n, subnet in (("one", "fd01::/64"), ("two", "fd02::/64"))]
    made = Scene(host, one, two)
    await made.world.refresh()
    return made


async def test_without_events_the_list_does_not_lag() -> None:
    assert not (await scene()).world.containers_lag


async def test_an_attached_container_is_waited_for_until_the_list_has_its_network() -> None:
    it = await scene()
    it.world.attachment_reported(it.web, it.two)
    assert await it.look()
    await it.connect(it.two)
    assert not await it.look()


async def test_a_detached_container_is_waited_for_until_the_list_has_its_network_no_longer() -> None:
    it = await scene()
    it.world.attachment_reported(it.web, it.one, attached=False)
    assert await it.look()
    await it.host.engine.disconnect(it.one, it.web)
    assert not await it.look()


async def test_a_list_that_has_it_already_is_not_waited_for() -> None:
    it = await scene()
    it.world.attachment_reported(it.web, it.one)
    it.world.attachment_reported(it.web, it.two, attached=False)
    assert not await it.look()


async def test_the_last_event_counts() -> None:
    it = await scene()
    it.world.attachment_reported(it.web, it.two)
    it.world.attachment_reported(it.web, it.two, attached=False)
    assert not await it.look()
    it.world.attachment_reported(it.web, it.one, attached=False)
    it.world.attachment_reported(it.web, it.one)
    assert not await it.look()


async def test_each_network_is_waited_for() -> None:
    it = await scene()
    it.world.attachment_reported(it.web, it.one, attached=False)
    it.world.attachment_reported(it.web, it.two)
    await it.connect(it.two)
    assert await it.look()
    await it.host.engine.disconnect(it.one, it.web)
    assert not await it.look()


async def test_what_has_come_in_is_not_waited_for_again() -> None:
    it = await scene()
    it.world.attachment_reported(it.web, it.two)
    await it.connect(it.two)
    assert not await it.look()
    await it.host.engine.disconnect(it.two, it.web)
    assert not await it.look()


async def test_one_that_does_not_run_is_in_no_list() -> None:
    it = await scene()
    it.world.attachment_reported("stopped", it.two)
    it.host.engine.stop_container(it.web)
    it.world.attachment_reported(it.web, it.one, attached=False)
    assert not await it.look()


async def test_a_renamed_container_is_waited_for_until_the_list_has_its_last_name() -> None:
    it = await scene()
    it.world.rename_reported(it.web, "idle")
    it.world.rename_reported(it.web, "www")
    assert await it.look()
    it.host.engine.rename_container(it.web, "idle")
    assert await it.look()
    it.host.engine.rename_container(it.web, "www")
    assert not await it.look()


async def test_a_renamed_container_that_does_not_run_or_is_gone_is_not_waited_for() -> None:
    it = await scene()
    it.world.rename_reported("stopped", "idle")
    assert not await it.look()
    it.world.rename_reported(it.web, "idle")
    it.host.engine.remove_container(it.web)
    assert not await it.look()


async def test_waiting_ends_when_it_is_given_up_or_the_engine_was_restarted() -> None:
    it = await scene()
    for end in (it.world.accept_containers, it.world.engine_changed):
        it.world.attachment_reported(it.web, it.two)
        it.world.rename_reported(it.web, "idle")
        assert await it.look()
        end()
        assert not await it.look()


async def test_the_container_is_known_to_have_been_on_either() -> None:
    it = await scene()
    it.world.attachment_reported(it.web, it.one, attached=False)
    it.world.attachment_reported(it.web, it.two)
    assert it.world.networks_of(it.web) == {it.one, it.two}
