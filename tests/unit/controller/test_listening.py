"""A process in a container that listens over IPv4 only is reported until it listens over IPv6 too."""

from dockerv6.controller.listening import IDLE_INTERVAL
from dockerv6.hostnet.model import ContainerSockets
from tests.simulation.resources import network
from tests.world import Host

TCP_80 = frozenset({("tcp", 80)})


async def test_a_port_that_is_refused_is_reported_while_it_is() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        web = host.engine.run_container("web", "blog", ports=["8080:80"])
        await at_work.let(5)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")  # it has not started to listen
        host.net.waiting[web] = ContainerSockets(ipv4=TCP_80)
        await at_work.let(5)
        found = await host.condition("blog", "PortsPublished")
        assert found is not None
        assert (found.status, found.reason) == ("False", "IPv4Only")
        assert "container web" in found.message
        host.net.waiting[web] = ContainerSockets(ipv4=TCP_80, ipv6=TCP_80)
        await at_work.let(2 * IDLE_INTERVAL)
        assert await host.ready("blog") == ("True", "ReconcileSucceeded")


async def test_sockets_are_read_rarely_while_nothing_happens() -> None:
    host = Host()
    host.files.write(network())
    async with host.running() as at_work:
        await at_work.let(1)
        web = host.engine.run_container("web", "blog", ports=["8080:80"])
        await at_work.let(3 * IDLE_INTERVAL)
        host.net.waiting[web] = ContainerSockets(ipv4=TCP_80)
        await at_work.let(IDLE_INTERVAL + 5)
        assert await host.ready("blog") == ("False", "IPv4Only")
