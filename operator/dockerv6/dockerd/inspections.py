"""What the engine tells of images and containers that never changes, read once."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Generic, TypeVar

from dockerv6.dockerd.api_errors import NoResponse
from dockerv6.dockerd.port import EngineApiError

T = TypeVar("T")

_KEPT = 1024
"""Answers that are kept."""

SILENCE = 30.0
"""Seconds for which an object is not inspected again that the engine did not respond to: it delays all containers."""


class Inspections(Generic[T]):
    """Inspects each object once, by its id. Not for what may change."""

    def __init__(self, inspect: Callable[[str], Awaitable[T]]) -> None:
        """Read nothing yet. ``inspect`` reads one object from the engine."""
        self._inspect = inspect
        self._known: OrderedDict[str, T] = OrderedDict()
        self._silent: dict[str, tuple[float, NoResponse]] = {}  # until when, of the loop's time; and why

    async def of(self, ids: Iterable[str]) -> Mapping[str, T | EngineApiError]:
        """The answer for each id; the error of one that the engine doesn't show, which is asked for again.

        Raises:
            EngineUnavailable: the engine did not answer.
        """
        wanted = tuple(dict.fromkeys(ids))
        unknown = [each for each in wanted if each not in self._known]
        read = dict(zip(unknown, await asyncio.gather(*map(self._read, unknown)), strict=True))
        found = {each: read[each] if each in read else self._known[each] for each in wanted}
        for each, answer in found.items():
            if not isinstance(answer, EngineApiError):
                self._known[each] = answer
                self._known.move_to_end(each)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found

    async def _read(self, each: str) -> T | EngineApiError:
        now = asyncio.get_running_loop().time()
        self._silent = {name: found for name, found in self._silent.items() if found[0] > now}
        if each in self._silent:
            return self._silent[each][1]
        try:
            return await self._inspect(each)
        except NoResponse as error:
            self._silent[each] = now + SILENCE, error
            return error
        except EngineApiError as error:
            return error
