"""Every change that an operator makes, and the end of its process at one of them."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.world import Host

SIDE_EFFECTS = {
    "engine": ("create_network", "remove_network", "connect", "disconnect"),
    "net": ("set_sysctl", "set_link_up", "add_address", "add_proxy_neighbour", "remove_proxy_neighbour"),
    "firewall": ("apply",),
    "filter": ("add_accept_rule", "remove_accept_rule"),
    "ledger": ("bind", "release", "forget", "keep_pool_prefix"),
    "store": ("put", "put_status", "put_record", "drop_record", "remove"),
}
"""The methods that change the world, by the part of the host that has them."""


async def _nothing() -> None:
    """Observe nothing."""


@dataclass
class CrashInjector:
    """Lets an operator's process end at one of its effects on the world, before or after it comes about.

    To the process that is as if no call ever returned: it can neither catch it nor clean up. `restore` is for the next
    process, when what was left of the first one has been stopped.
    """

    host: Host
    witness: Callable[[], Awaitable[None]] = _nothing  # sees the world after each effect
    log: list[str] = field(default_factory=list)
    left: int | None = None  # effects until the end; None: there is none
    after: bool = False  # the last one comes about
    gone: bool = False

    def __post_init__(self) -> None:
        for part, methods in SIDE_EFFECTS.items():
            for method in methods:
                self._wrap(getattr(self.host, part), method)

    def cut(self, left: int, *, after: bool) -> None:
        """The process ends at its effect of that number, counted from 1."""
        self.left, self.after = left, after

    def restore(self) -> None:
        """Another process may begin."""
        self.left, self.gone = None, False

    def _wrap(self, part: object, method: str) -> None:
        original: Callable[..., Awaitable[object]] = getattr(part, method)
        assert inspect.iscoroutinefunction(original)

        async def mortal(*args: object, **kwargs: object) -> object:
            last = self._count(method)
            if self.gone or (last and not self.after):
                await self._end()
            result = await original(*args, **kwargs)
            await self.witness()
            if last:
                await self._end()
            return result

        setattr(part, method, mortal)

    def _count(self, method: str) -> bool:
        """Whether this is the process' last effect."""
        if self.gone or self.left is None:
            return False
        self.log.append(method)
        self.left -= 1
        return self.left == 0

    async def _end(self) -> None:
        self.gone = True
        await asyncio.Event().wait()
