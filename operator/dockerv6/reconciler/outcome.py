"""What came of one run of a handler, as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requeue:
    """Returned by a handler that succeeded but wants to look again.

    It is void when the key is handled before for another reason: that run decides anew.

    Attributes:
        after: seconds from now.
    """

    after: float

    def __post_init__(self) -> None:
        if self.after < 0:
            raise ValueError(f"a key can't be requeued {self.after} s from now")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one run.

    Attributes:
        final: nothing follows until the key is enqueued again.
        delay: seconds until the next run, if one is due.
        result: what the handler returned, if it returned.
        error: what it raised, if it raised.
    """

    final: bool
    delay: float | None = None
    result: Requeue | None = None
    error: Exception | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the handler returned."""
        return self.error is None
