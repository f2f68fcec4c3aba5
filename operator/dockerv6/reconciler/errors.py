"""What a handler raises to say how its failure is to be retried.

Errors::

    ReconcileError          base: never raised itself
    ├── TemporaryError      expected to pass: retried after its delay, or with backoff when it names none
    └── PermanentError      retrying can't help: left alone until the key is enqueued again, because something changed

Any other exception is taken for a bug or a fault that nobody foresaw: logged with its traceback, retried with backoff.
"""


class ReconcileError(Exception):
    """A failure that a handler has understood; its message is for people and says what to do."""


class TemporaryError(ReconcileError):
    """It is expected to pass by itself, such as an engine that restarts."""

    def __init__(self, message: str, *, delay: float | None = None) -> None:
        """Say what is wrong, and when to try again.

        Args:
            message: what is wrong and what a person can do.
            delay: seconds until the next try, the same each time; None grows with each failure.

        Raises:
            ValueError: a negative delay.
        """
        if delay is not None and delay < 0:
            raise ValueError(f"a retry can't be due {delay} s from now")
        super().__init__(message)
        self.delay = delay


class PermanentError(ReconcileError):
    """Only a change of the object or of the world can help, such as an invalid spec."""
