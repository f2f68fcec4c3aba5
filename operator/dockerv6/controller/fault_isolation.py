"""Exceptions that nobody foresaw, in computations about one thing: it harms that thing only, and is visible.

`FaultIsolation` finds the part of the desired firewall from which rules can be computed. A container whose ports can't
be assigned has none; an owner whose rules can't be rendered keeps those that it has. All others get theirs.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from dockerv6.dockerd.model import Container
from dockerv6.planning.firewall.contributions import FirewallContribution
from dockerv6.planning.firewall.desired import DesiredFirewall

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


class FaultIsolation:
    """Finds what can't be computed, and remembers it, since the search evaluates each container and owner alone."""

    def __init__(self, faults: Faults) -> None:
        """Report to `faults`."""
        self._faults = faults
        self._containers: tuple[Container, ...] = ()
        self._contributions: tuple[FirewallContribution, ...] = ()

    @property
    def faulty(self) -> bool:
        """Whether something is left out."""
        return bool(self._containers or self._contributions)

    def of(self, desired: DesiredFirewall) -> DesiredFirewall:
        """The desired firewall without what raises.

        Raises:
            Exception: what all owners share can't be computed.
        """
        if _raises_nothing(desired):
            self._containers = self._contributions = ()
            return desired
        if self.faulty and self._all_in(desired):
            known = self._without(desired, self._containers, self._contributions)
            if _raises_nothing(known):
                self._report(desired)
                return known
        self._containers, self._contributions = _faulty_containers(desired), ()
        rest = self._without(desired, self._containers, ())
        if not _raises_nothing(rest):
            self._contributions = tuple(each for each in rest.contributions if not _renderable(rest, each.owner))
            rest = self._without(rest, (), self._contributions)
        self._report(desired)
        _evaluate(rest)
        return rest

    def _report(self, desired: DesiredFirewall) -> None:
        for container in self._containers:
            harm = f"the published ports of container {container.name} can't be assigned, so it has none"
            self._faults.contained(harm, partial(_assign_alone, desired, container), None)
        rest = self._without(desired, self._containers, ())
        for each in self._contributions:
            harm = f"the rules of {each.owner} can't be computed, and stay as they are"
            self._faults.contained(harm, partial(_render_alone, rest, each.owner), None)

    def _all_in(self, desired: DesiredFirewall) -> bool:
        """Whether what was left out the last time is still the same."""
        containers, contributions = desired.inputs.containers, desired.contributions
        return all(c in containers for c in self._containers) and all(c in contributions for c in self._contributions)

    @staticmethod
    def _without(
        desired: DesiredFirewall, containers: tuple[Container, ...], contributions: tuple[FirewallContribution, ...]
    ) -> DesiredFirewall:
        if containers:
            rest = tuple(c for c in desired.inputs.containers if c not in containers)
            desired = replace(desired, inputs=replace(desired.inputs, containers=rest))
        return desired.keeping(frozenset(each.owner for each in contributions)) if contributions else desired


def _evaluate(desired: DesiredFirewall) -> None:
    """Compute everything that a change of our table is made from."""
    _ = desired.port_assignment, desired.subnet_rivals, desired.external_rivals, desired.ruleset


def _assign_alone(desired: DesiredFirewall, container: Container) -> None:
    _ = replace(desired, inputs=replace(desired.inputs, containers=(container,))).port_assignment


def _render_alone(desired: DesiredFirewall, owner: str) -> None:
    _evaluate(desired.keeping(frozenset(each.owner for each in desired.contributions) - {owner}))


def _raises_nothing(desired: DesiredFirewall) -> bool:
    return _succeeds(partial(_evaluate, desired))


def _faulty_containers(desired: DesiredFirewall) -> tuple[Container, ...]:
    """Containers whose ports can't be assigned. None of them if that is so of all: an owner is the cause."""
    known = desired.inputs.containers
    found = tuple(each for each in known if not _succeeds(partial(_assign_alone, desired, each)))
    return found if len(found) < max(len(known), 2) else ()


def _renderable(desired: DesiredFirewall, owner: str) -> bool:
    return _succeeds(partial(_render_alone, desired, owner))


def _succeeds(compute: Callable[[], None]) -> bool:
    try:
        compute()
    except Exception:  # noqa: BLE001 - computed again, and reported, once it is known whose it is
        return False
    return True
