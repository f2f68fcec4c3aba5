"""What ``dockerv6 plan`` would say of a simulated host: on copies of its state, as the command does."""

from collections.abc import Iterator
from contextlib import contextmanager

from dockerv6.controller.preview import plan_everything
from dockerv6.daemon.preview import copy_ledger, copy_store
from dockerv6.ipam.memory import MemoryLedger
from dockerv6.planning.plan import Plan
from dockerv6.store.memory import MemoryStore
from tests.world import Host


async def preview(host: Host) -> dict[str, Plan]:
    """Plans by name."""
    store, ledger = MemoryStore(), MemoryLedger()
    await copy_store(host.store, store)
    await copy_ledger(host.ledger, ledger)
    with _memory(host, store, ledger):
        context = host.context()
    await context.inventory.load()
    await context.recreations.load()
    return {plan.name: plan for plan in await plan_everything(host.files.read(), context)}


@contextmanager
def _memory(host: Host, store: MemoryStore, ledger: MemoryLedger) -> Iterator[None]:
    real = host.store, host.ledger
    host.store, host.ledger = store, ledger
    try:
        yield
    finally:
        host.store, host.ledger = real
