"""Exceptions that nobody foresaw, in computations about one thing: it harms that thing only, and is visible."""

import logging
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

_REMEDY = "this is an error in dockerv6, please report it with the daemon's log"


class Faults:
    """The faults of one computation that is repeated; the log has the traceback of each new one."""

    def __init__(self) -> None:
        """None yet."""
        self._found: dict[str, str] = {}
        self._before: dict[str, str] = {}

    def begin(self) -> None:
        """The computation begins again: what does not fail any more is forgotten."""
        self._before, self._found = self._found, {}

    def contained(self, harm: str, compute: Callable[[], T], otherwise: T) -> T:
        """The value; the other one if it can't be computed. `harm`: what the user has to know then."""
        try:
            return compute()
        except Exception as error:  # noqa: BLE001 - logged with its traceback
            self.add(harm, error)
            return otherwise

    def add(self, harm: str, error: Exception) -> None:
        """Note a fault, and log it if it is new."""
        cause = self._found[harm] = f"{type(error).__name__}: {error}"
        if self._before.get(harm) != cause:
            logger.error("%s", harm, exc_info=error)

    @property
    def messages(self) -> tuple[str, ...]:
        """Each fault with its harm, cause and remedy."""
        return tuple(f"{harm} ({cause}); {_REMEDY}" for harm, cause in sorted(self._found.items()))
