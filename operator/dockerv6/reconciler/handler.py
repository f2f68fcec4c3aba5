"""What a handler receives, returns and raises, and the registry that maps kinds to handlers.

Errors::

    ReconcileError          base class; handlers raise one of the two below
    ├── TemporaryError      expected to pass: retried after its delay, or with backoff if it has none
    └── PermanentError      a retry cannot help: no run until the key is enqueued again, because something changed

Any other exception is a bug or an unforeseen fault: it is logged with its traceback and retried with backoff.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

ContextT = TypeVar("ContextT")
"""The context that every handler receives: the program's clients and settings."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The name of one object, written `IPv6Network/blog`.

    A key says that something about the object may have changed, not what: the handler reads the current state.
    """

    kind: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the written form.

        Raises:
            ValueError: the text is not KIND/NAME.
        """
        kind, _, name = text.partition("/")
        if not kind or not name:
            raise ValueError(f"{text!r} is not KIND/NAME, such as IPv6Network/blog")
        return cls(kind, name)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Requeue:
    """Returned by a handler that succeeded and wants another run.

    An earlier run for any other reason replaces it: that run decides again.

    Attributes:
        after: seconds from now.
    """

    after: float

    def __post_init__(self) -> None:
        if self.after < 0:
            raise ValueError(f"a key cannot be requeued {self.after} s from now")


class ReconcileError(Exception):
    """A failure with a known cause. The message is for users and contains the remedy."""


class TemporaryError(ReconcileError):
    """A failure that is expected to pass by itself, such as an engine that restarts."""

    def __init__(self, message: str, *, delay: float | None = None) -> None:
        """Make the error.

        Args:
            message: the problem and its remedy.
            delay: seconds until the next try, the same each time; None for exponential backoff.

        Raises:
            ValueError: the delay is negative.
        """
        if delay is not None and delay < 0:
            raise ValueError(f"a retry cannot be due {delay} s from now")
        super().__init__(message)
        self.delay = delay


class Unsettled(TemporaryError):  # noqa: N818 - nothing failed
    """What is reconciled changes while it is reconciled. The next run continues."""


class PermanentError(ReconcileError):
    """A failure that only a change of the object or of the host can fix, such as an invalid spec."""


Handler = Callable[[Key, ContextT], Awaitable[Requeue | None]]


class Registry(Generic[ContextT]):
    """The handlers of a program, by kind.

    Use::

        registry: Registry[Context] = Registry()


        @registry.reconcile("IPv6Network")
        async def reconcile(key: Key, context: Context) -> Requeue | None: ...
    """

    def __init__(self) -> None:
        self._reconcilers: dict[str, Handler[ContextT]] = {}
        self._finalizers: dict[str, Handler[ContextT]] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that have a handler, in alphabetical order."""
        return tuple(sorted(self._reconcilers.keys() | self._finalizers.keys()))

    def handles(self, kind: str) -> bool:
        """Whether the kind has a handler."""
        return kind in self._reconcilers or kind in self._finalizers

    def reconciler(self, kind: str) -> Handler[ContextT] | None:
        """The handler that makes the host match an object of the kind."""
        return self._reconcilers.get(kind)

    def finalizer(self, kind: str) -> Handler[ContextT] | None:
        """The handler that removes what exists on the host for an object of the kind."""
        return self._finalizers.get(kind)

    def reconcile(self, kind: str) -> Callable[[Handler[ContextT]], Handler[ContextT]]:
        """Register the handler that makes the host match an object of the kind.

        Raises:
            ValueError: the kind has one already.
        """
        return self._register(self._reconcilers, "reconcile", kind)

    def finalize(self, kind: str) -> Callable[[Handler[ContextT]], Handler[ContextT]]:
        """Register the handler that runs in place of `reconcile` while an object of the kind is being deleted.

        Raises:
            ValueError: the kind has one already.
        """
        return self._register(self._finalizers, "finalize", kind)

    @staticmethod
    def _register(
        handlers: dict[str, Handler[ContextT]], role: str, kind: str
    ) -> Callable[[Handler[ContextT]], Handler[ContextT]]:
        def register(handler: Handler[ContextT]) -> Handler[ContextT]:
            if kind in handlers:
                raise ValueError(f"kind {kind} has a {role} handler already")
            handlers[kind] = handler
            return handler

        return register
