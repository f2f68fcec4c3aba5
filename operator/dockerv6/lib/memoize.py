"""Memoization of functions whose argument is a large value that many callers share."""

from collections.abc import Callable
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def memoize_by_identity(function: Callable[[Argument], Result]) -> Callable[[Argument], Result]:
    """Keep the latest result for as long as the function is called with the same object, which must not be modified.

    The argument is compared by identity: hundreds of plans are computed from one value, equal values are rare, and
    comparing two of them takes longer than most of the functions.
    """
    latest: tuple[Argument, Result] | None = None

    def memoized(argument: Argument) -> Result:
        nonlocal latest
        if latest is None or latest[0] is not argument:
            latest = (argument, function(argument))
        return latest[1]

    return memoized
