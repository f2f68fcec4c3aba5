"""Brings the requests of HTTP clients from the server's thread to the operator's event loop."""

import asyncio
from collections.abc import Sequence

from dockerv6.controller.operator import Operator
from dockerv6.daemon.http import ResourceName
from dockerv6.reconciler.handler import Key


class OperatorRequests:
    """Implements `daemon.http.ReconcileRequests`. Made on the operator's loop."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._loop = asyncio.get_running_loop()

    async def reconcile(self, resources: Sequence[ResourceName]) -> tuple[ResourceName, ...]:
        """Have resources reconciled now. Returns those that do not exist."""
        keys = [Key(*each) for each in resources]
        wanted = asyncio.run_coroutine_threadsafe(self._operator.reconcile_now(keys), self._loop)
        return tuple((key.kind, key.name) for key in await asyncio.wrap_future(wanted))

    async def pending(self, resources: Sequence[ResourceName]) -> bool:
        """Whether one of the resources waits to be reconciled, or is being reconciled."""

        async def ask() -> bool:
            return any(self._operator.manager.pending(Key(*each)) for each in resources)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ask(), self._loop))
