"""Which handler answers for what, told with decorators."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from dockerv6.reconciler.outcome import Requeue
from dockerv6.reconciler.request import Key

C = TypeVar("C")
"""The context that every handler is given: the program's clients and settings."""

Handler = Callable[[Key, C], Awaitable[Requeue | None]]
Hook = Callable[[C], Awaitable[None]]
Interval = float | Callable[[C], float]


@dataclass(frozen=True, slots=True)
class Timer(Generic[C]):
    """A handler that is called now and then for every object of a kind.

    Attributes:
        kind: of the objects.
        interval: seconds between the end of one round and the start of the next; a function of the context when it
            is a setting.
        handler: what is called.
    """

    kind: str
    interval: Interval[C]
    handler: Handler[C]

    @property
    def name(self) -> str:
        """The handler's name; unique within the kind."""
        return getattr(self.handler, "__name__", repr(self.handler))

    def seconds(self, context: C) -> float:
        """The interval.

        Raises:
            ValueError: it is not positive.
        """
        seconds = self.interval(context) if callable(self.interval) else self.interval
        if seconds <= 0:
            raise ValueError(f"timer {self.kind}/{self.name} needs a positive interval, not {seconds} s")
        return seconds


class Registry(Generic[C]):
    """The handlers of a program.

    Use::

        registry: Registry[Context] = Registry()


        @registry.reconcile("IPv6Network")
        async def reconcile(key: Key, context: Context) -> Requeue | None: ...
    """

    def __init__(self) -> None:
        self._reconcilers: dict[str, Handler[C]] = {}
        self._finalizers: dict[str, Handler[C]] = {}
        self._timers: dict[tuple[str, str], Timer[C]] = {}
        self._startup: list[Hook[C]] = []
        self._cleanup: list[Hook[C]] = []

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds whose keys can be enqueued, in alphabetical order."""
        return tuple(sorted(self._reconcilers.keys() | self._finalizers.keys()))

    def handles(self, kind: str) -> bool:
        """Whether keys of the kind can be enqueued."""
        return kind in self._reconcilers or kind in self._finalizers

    @property
    def timers(self) -> tuple[Timer[C], ...]:
        """In the order of registration."""
        return tuple(self._timers.values())

    @property
    def startup_hooks(self) -> tuple[Hook[C], ...]:
        """In the order of registration."""
        return tuple(self._startup)

    @property
    def cleanup_hooks(self) -> tuple[Hook[C], ...]:
        """The last registered first: what was started first is torn down last."""
        return tuple(reversed(self._cleanup))

    def reconciler(self, kind: str) -> Handler[C] | None:
        """What makes the world match an object of the kind."""
        return self._reconcilers.get(kind)

    def finalizer(self, kind: str) -> Handler[C] | None:
        """What takes an object of the kind out of the world."""
        return self._finalizers.get(kind)

    def reconcile(self, kind: str) -> Callable[[Handler[C]], Handler[C]]:
        """Register the handler that makes the world match an object; one a kind.

        Raises:
            ValueError: the kind has one.
        """
        return self._register(self._reconcilers, "reconcile", kind)

    def finalize(self, kind: str) -> Callable[[Handler[C]], Handler[C]]:
        """Register the handler that is called instead of `reconcile` while the object is being deleted; one a kind.

        When it returns None the object's tombstone is removed. `Requeue` means that the deletion has to wait.

        Raises:
            ValueError: the kind has one.
        """
        return self._register(self._finalizers, "finalize", kind)

    def timer(self, kind: str, *, interval: Interval[C]) -> Callable[[Handler[C]], Handler[C]]:
        """Register a handler that is called every `interval` seconds for each object that is not being deleted.

        It never runs beside the object's other handlers: it is left out for an object that is busy. Returning
        `Requeue(after)` enqueues the object's reconcile, so a resync is a timer that returns `Requeue(0)`.

        Raises:
            ValueError: the kind has a timer of that name, or the interval is not positive.
        """

        def register(handler: Handler[C]) -> Handler[C]:
            timer = Timer(kind, interval, handler)
            if not callable(interval) and interval <= 0:
                raise ValueError(f"timer {kind}/{timer.name} needs a positive interval, not {interval} s")
            if (kind, timer.name) in self._timers:
                raise ValueError(f"kind {kind} has a timer named {timer.name} already")
            self._timers[kind, timer.name] = timer
            return handler

        return register

    def startup(self, hook: Hook[C]) -> Hook[C]:
        """Register what runs before the first handler, one after the other; see `Manager.start` for errors."""
        self._startup.append(hook)
        return hook

    def cleanup(self, hook: Hook[C]) -> Hook[C]:
        """Register what runs after the last handler, in reverse order; see `Manager.stop` for errors."""
        self._cleanup.append(hook)
        return hook

    @staticmethod
    def _register(handlers: dict[str, Handler[C]], role: str, kind: str) -> Callable[[Handler[C]], Handler[C]]:
        def register(handler: Handler[C]) -> Handler[C]:
            if kind in handlers:
                raise ValueError(f"kind {kind} has a {role} handler already")
            handlers[kind] = handler
            return handler

        return register
