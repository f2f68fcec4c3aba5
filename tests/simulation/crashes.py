"""The operator's side effects, and crashes of its process at any of them."""

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
"""The methods with side effects, by the attribute of `Host` that has them."""


async def _no_check() -> None:
    """The default of ``check``."""


@dataclass
class CrashInjector:
    """Crashes a running operator at its n-th side effect, before or after it happens.

    From then on no call returns: the process can neither catch the crash nor clean up. Call `reset` after the operator
    was stopped, before the next one starts.
    """

    host: Host
    check: Callable[[], Awaitable[None]] = _no_check  # called after each side effect
    log: list[str] = field(default_factory=list)
    remaining: int | None = None  # side effects until the crash; None: no crash is scheduled
    after: bool = False  # the last side effect happens
    crashed: bool = False

    def __post_init__(self) -> None:
        for part, methods in SIDE_EFFECTS.items():
            for method in methods:
                self._wrap(getattr(self.host, part), method)

    def schedule(self, effects: int, *, after: bool) -> None:
        """Crash at the n-th side effect from now on, counted from 1."""
        self.remaining, self.after = effects, after

    def reset(self) -> None:
        """Let the next operator run."""
        self.remaining, self.crashed = None, False

    def _wrap(self, part: object, method: str) -> None:
        original: Callable[..., Awaitable[object]] = getattr(part, method)
        assert inspect.iscoroutinefunction(original)

        async def wrapper(*args: object, **kwargs: object) -> object:
            last = self._count(method)
            if self.crashed or (last and not self.after):
                await self._crash()
            result = await original(*args, **kwargs)
            await self.check()
            if last:
                await self._crash()
            return result

        setattr(part, method, wrapper)

    def _count(self, method: str) -> bool:
        """Count a side effect; True if the crash is scheduled at it."""
        if self.crashed or self.remaining is None:
            return False
        self.log.append(method)
        self.remaining -= 1
        return self.remaining == 0

    async def _crash(self) -> None:
        self.crashed = True
        await asyncio.Event().wait()
