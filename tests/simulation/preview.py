"""The plans that ``dockerv6 plan`` would print for a simulated host, computed on copies of its state."""

from collections.abc import Iterator
from contextlib import contextmanager

from dockerv6.controller.preview import plan_everything
from dockerv6.daemon.preview import copy_ledger, copy_store
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.planning.plan import Plan
from dockerv6.source.model import Snapshot
from dockerv6.store.memory import MemoryStore
from tests.world import Host


async def preview(host: Host, snapshot: Snapshot | None = None) -> dict[str, Plan]:
    """The plan of each resource, by its name. ``snapshot``: of the sources; by default that of the host's files."""
    store, ledger = MemoryStore(), MemoryLedger()
    await copy_store(host.store, store)
    await copy_ledger(host.ledger, ledger)
    with _state(host, store, ledger):
        context = host.context()
    await context.inventory.load()
    await context.recreations.load()
    return {plan.name: plan for plan in await plan_everything(snapshot or host.files.read(), context)}


@contextmanager
def _state(host: Host, store: MemoryStore, ledger: MemoryLedger) -> Iterator[None]:
    original = host.store, host.ledger
    host.store, host.ledger = store, ledger
    try:
        yield
    finally:
        host.store, host.ledger = original
