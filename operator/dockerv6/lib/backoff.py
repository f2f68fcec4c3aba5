"""How long to wait before trying again: exponential growth with a ceiling and jitter."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of `initial * factor**attempt` seconds, never more than `maximum`, each shortened by a random share.

    Jitter only shortens. Were it added and then cut at the ceiling, everything that has failed for long would retry
    in step, which is what jitter is there to prevent.

    Attributes:
        initial: seconds before the first retry.
        factor: growth from one retry to the next, at least 1.
        maximum: ceiling in seconds.
        jitter: largest share, 0 to 1, that is taken off.
    """

    initial: float = 0.2
    factor: float = 2.0
    maximum: float = 60.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if self.initial < 0 or self.maximum < self.initial:
            raise ValueError(f"a backoff needs 0 <= initial <= maximum, not {self.initial} and {self.maximum}")
        if self.factor < 1:
            raise ValueError(f"a backoff needs a factor of at least 1, not {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"a backoff needs a jitter between 0 and 1, not {self.jitter}")

    def delay(self, attempt: int, random: Random) -> float:
        """Seconds to wait before retry number `attempt`, counted from 0 (0: it has failed once).

        Raises:
            ValueError: a negative attempt.
        """
        if attempt < 0:
            raise ValueError(f"attempts are counted from 0, not {attempt}")
        try:
            grown = min(self.maximum, self.initial * self.factor**attempt)
        except OverflowError:
            grown = self.maximum
        return grown * (1 - self.jitter * random.random())
