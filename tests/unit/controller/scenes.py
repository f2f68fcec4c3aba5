"""Scenes that tests of the network reconcile begin with."""

from tests.simulation.resources import network
from tests.world import Bench, Host


async def applied(host: Host, **spec: object) -> Bench:
    """A network that has converged."""
    bench = await host.bench(network("blog", **spec))
    await bench.reconcile()
    bench.invalidate_all()
    assert await bench.reconcile() is None
    return bench


async def again(bench: Bench, name: str = "blog") -> None:
    """Reconcile after a change, with all caches stale."""
    bench.invalidate_all()
    await bench.reconcile(name)


async def restart(host: Host) -> Bench:
    """A new process with the same state."""
    return await host.bench()
