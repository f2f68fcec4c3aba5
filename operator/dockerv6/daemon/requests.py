"""Brings the requests of HTTP clients from the server's thread to the operator's event loop."""

import asyncio

from dockerv6.controller.operator import Operator
from dockerv6.reconciler.handler import Key


class OperatorRequests:
    """Implements `daemon.http.ReconcileRequests`. Made on the operator's loop."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._loop = asyncio.get_running_loop()

    async def reconcile(self, kind: str, name: str) -> bool:
        """Have a resource reconciled now; False: there is none of that name."""
        wanted = asyncio.run_coroutine_threadsafe(self._operator.reconcile_now(Key(kind, name)), self._loop)
        return await asyncio.wrap_future(wanted)

    async def pending(self, kind: str, name: str) -> bool:
        """Whether the resource waits to be reconciled, or is being reconciled."""

        async def ask() -> bool:
            return self._operator.manager.pending(Key(kind, name))

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ask(), self._loop))
