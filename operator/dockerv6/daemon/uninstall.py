"""``dockerv6 uninstall``: remove all that is ours from the host."""

import asyncio
from pathlib import Path

from dockerv6.controller.removal import remove_everything
from dockerv6.daemon.settings import Settings
from dockerv6.daemon.wiring import durable, workbench
from dockerv6.store.lock import InstanceLock


def uninstall(settings: Settings, *, keep_networks: bool) -> tuple[str, ...]:
    """Remove networks, rules and the accept rules, restore sysctls, forget the state. Gives a line for each removal.

    Raises:
        AlreadyRunning: the daemon is still at work; it would make everything again.
        StoreError, EngineError, FirewallError, HostNetError: something could not be removed; what was, stays removed.
    """
    return asyncio.run(_uninstall(settings, keep_networks=keep_networks))


async def _uninstall(settings: Settings, *, keep_networks: bool) -> tuple[str, ...]:
    with InstanceLock(Path(settings.state_dir)):
        async with durable(settings) as memory, workbench(settings, memory) as context:
            await context.inventory.load()
            removed = await remove_everything(context, keep_networks=keep_networks)
        for file in (settings.database, *(Path(f"{settings.database}-{part}") for part in ("wal", "shm"))):
            file.unlink(missing_ok=True)
    return (*removed, f"forgot the state in {settings.database}")
