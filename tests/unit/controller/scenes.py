"""Steps that tests of the network handlers begin with."""

from tests.simulation.resources import network
from tests.world import Bench, Host


async def applied(host: Host, **spec: object) -> Bench:
    """A network that is as it should be, and that everybody has seen so."""
    bench = await host.bench(network("blog", **spec))
    await bench.reconcile()
    bench.invalidate_all()
    assert await bench.reconcile() is None
    return bench


async def again(bench: Bench, name: str = "blog") -> None:
    """Look again after something has happened."""
    bench.invalidate_all()
    await bench.reconcile(name)


async def restart(host: Host) -> Bench:
    """Another process on the same state."""
    return await host.bench()
