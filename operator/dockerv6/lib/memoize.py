"""What follows from one moment of the world alone, computed once: hundreds of plans are made from the same one."""

from collections.abc import Callable
from typing import TypeVar

Moment = TypeVar("Moment")
Result = TypeVar("Result")


def memoize_by_identity(function: Callable[[Moment], Result]) -> Callable[[Moment], Result]:
    """Keep the last result for as long as the argument is the very same object, which nobody may change.

    By identity: an equal moment is rare, and comparing two costs more than most of what is computed from one.
    """
    last: tuple[Moment, Result] | None = None

    def once(moment: Moment) -> Result:
        nonlocal last
        if last is None or last[0] is not moment:
            last = (moment, function(moment))
        return last[1]

    return once
