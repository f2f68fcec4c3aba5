"""Host services keep their ports, also when it can't be read which ones they use."""

from ipaddress import IPv6Address

import pytest

from dockerv6.hostnet.model import Listener
from dockerv6.hostnet.port import HostNetError
from tests.simulation.resources import network
from tests.world import Host

TAKER = Listener("tcp", IPv6Address("::"), 8080)
READY = ("True", "ReconcileSucceeded")
UNKNOWN = ("False", "HostUnreadable")


def publishing(*numbers: int) -> dict[str, object]:
    return {"ports": [{"port": each, "containers": {"name": "web"}} for each in numbers]}


class BrokenSockets:
    """The kernel reports no sockets of one kind until the test repairs it."""

    def __init__(self, host: Host, patch: pytest.MonkeyPatch, method: str = "listeners") -> None:
        self.real = getattr(host.net, method)
        self.broken = True
        patch.setattr(host.net, method, self.read)

    async def read(self) -> object:
        if self.broken:
            raise HostNetError("Cannot allocate memory")
        return await self.real()


@pytest.mark.parametrize("method", ["listeners", "served_tcp_ports"])
async def test_no_port_is_taken_before_the_first_reading(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    host = Host()
    host.net.listen(TAKER)
    sockets = BrokenSockets(host, monkeypatch, method)
    host.files.write(network("blog", publish=publishing(8080, 9090)))
    async with host.running() as it:
        await it.let(5)
        host.engine.run_container("web", "blog")
        await it.let(30)
        condition = await host.condition("blog", "PortsPublished")
        assert condition is not None
        assert (host.ports(), condition.status) == ({}, "False")
        assert "tcp port 9090 on [::] is not published" in condition.message
        assert "can't be read: Cannot allocate memory" in it.context.problems.check()
        sockets.broken = False
        await it.let(30)
        assert (host.ports(), await host.ready("blog")) == ({"tcp 9090 ::": "web:9090"}, ("False", "PortTaken"))
        assert it.context.problems.check() == ""
        host.net.stop_listening(TAKER)
        await it.let(30)
        assert (len(host.ports()), await host.ready("blog")) == (2, READY)


async def test_ports_stay_as_they_are_while_a_later_reading_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    host.files.write(network("blog", publish=publishing(9090)))
    async with host.running() as it:
        await it.let(5)
        host.engine.run_container("web", "blog")
        await it.let(10)
        assert host.ports() == {"tcp 9090 ::": "web:9090"}
        sockets = BrokenSockets(host, monkeypatch)
        host.net.listen(TAKER)
        host.files.write(network("blog", publish=publishing(8080, 9090)))
        await it.let(30)
        assert (host.ports(), await host.ready("blog")) == ({"tcp 9090 ::": "web:9090"}, UNKNOWN)
    async with host.running() as it:  # a restart, which has not read them either
        await it.let(30)
        assert (host.ports(), await host.ready("blog")) == ({"tcp 9090 ::": "web:9090"}, UNKNOWN)
        sockets.broken = False
        await it.let(30)
        assert await host.ready("blog") == ("False", "PortTaken")
