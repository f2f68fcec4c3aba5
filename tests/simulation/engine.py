"""An engine that is slow and fails as engines and their connections do, and a firewall that records."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from random import Random

from dockerv6.dockerd import api_errors
from dockerv6.dockerd.model import EngineEvent
from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.firewall.ruleset import Ruleset, RulesetChange
from dockerv6.lib.clock import wait_event
from tests.fakes.clock import FakeClock
from tests.fakes.dockerd.versions import EngineVersion
from tests.fakes.hostnet.host import FakeHostNet
from tests.simulation.coupled import CoupledEngine, NotifyingFirewall

LATENCIES = (0.0, 0.0, 0.0, 0.002, 0.05, 0.3)
"""Seconds that a request or a response takes."""

TIMEOUT = 60.0
"""Seconds after which the client gives up; as in `dockerd.transport`."""

DISTURBANCES = ("lost", "duplicated", "reordered")
"""What may become of events."""


class FaultyEngine(CoupledEngine):
    """Every call takes time."""

    def __init__(
        self,
        host: FakeHostNet,
        profile: EngineVersion,
        clock: FakeClock,
        random: Random,
        record: Callable[[str], None],
    ) -> None:
        """``random`` decides how long calls take, and which events are disturbed. ``record`` gets a line per call."""
        self._record = record
        self._clock = clock
        self._random = random
        self._running: asyncio.Event | None = None  # set when the engine runs again; None: it runs
        self._disturbance = ""
        self._held: list[EngineEvent] = []
        super().__init__(host, profile)

    @property
    def responsive(self) -> bool:
        """Whether users can do anything with it."""
        return self._up and self._running is None

    def suspend(self) -> None:
        """As SIGSTOP: requests are accepted, and processed only after `resume`."""
        self._running = self._running or asyncio.Event()

    def resume(self) -> None:
        """As SIGCONT."""
        if self._running is not None:
            self._running.set()
            self._running = None

    def disturb_events(self, disturbance: str) -> None:
        """See `DISTURBANCES`; "": end it."""
        self._disturbance = disturbance

    def break_events(self, status: int, times: int) -> None:
        """The event stream breaks, and the next requests for it get an error response."""
        self.fail_next("events", api_errors.from_response(status, "cannot subscribe"), times=times)
        self._end_streams()

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """See `port.Engine.events`."""
        async with aclosing(super().events()) as events:
            async for event in events:
                for each in self._disturbed(event):
                    yield each

    def _disturbed(self, event: EngineEvent) -> Iterator[EngineEvent]:
        kind = self._disturbance if self._random.random() < 0.5 else ""
        if kind == "reordered":
            self._held.append(event)
            return
        if kind != "lost":
            yield event
        if kind == "duplicated":
            yield event
        yield from self._held
        self._held = []

    @asynccontextmanager
    async def _call(self, method: str, *arguments: object) -> AsyncIterator[None]:
        await self._clock.sleep(self._random.choice(LATENCIES))
        if self._running is not None and not await wait_event(self._clock, self._running, TIMEOUT):
            raise EngineUnavailable(f"Docker Engine (fake): no response in {TIMEOUT:.0f} s")
        async with super()._call(method, *arguments):
            self._record(f"engine: {method}{arguments}")
            yield
        await self._clock.sleep(self._random.choice(LATENCIES))


class RecordingFirewall(NotifyingFirewall):
    """A firewall whose transactions are recorded."""

    def __init__(self, host: FakeHostNet, record: Callable[[str], None]) -> None:
        """``record`` gets a line for each transaction."""
        super().__init__(host)
        self._record = record

    async def apply(self, change: RulesetChange) -> Ruleset:
        """See `port.FirewallBackend.apply`."""
        self._record(f"firewall: {'; '.join(change.describe())}")
        return await super().apply(change)
