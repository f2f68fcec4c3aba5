"""Finds the owners whose rules the kernel refuses, so that the rules of all others can be committed.

A transaction is refused as a whole, with a message that seldom names the cause. Dry runs of parts of it do: see
`refused_rules`. The owners that are found keep the rules that they have (`FirewallSnapshot.refused`).
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NoReturn

from dockerv6.firewall.diff import diff
from dockerv6.firewall.expr import SHARED
from dockerv6.firewall.port import FirewallRejected, OwnersExcluded
from dockerv6.firewall.ruleset import RulesetChange
from dockerv6.planning.firewall.desired import RefusedRules

logger = logging.getLogger(__name__)

Check = Callable[[RulesetChange], Awaitable[None]]
"""A dry run of a change, as `FirewallBackend.check`."""


class RefusedOwners:
    """The rules that the kernel has refused, for as long as they stay the same or until `forget`."""

    def __init__(self) -> None:
        """None yet."""
        self.rules: Mapping[str, RefusedRules] = {}
        self.on_change: Callable[[str], None] = lambda _: None
        """Called with each owner whose rules are refused."""

    def add(self, found: Mapping[str, RefusedRules], error: FirewallRejected) -> NoReturn:
        """Remember what `refused_rules` found, and raise `OwnersExcluded`; the error if it is nothing."""
        if not found:
            raise error
        self.rules = {**self.rules, **found}
        for owner, refused in found.items():
            logger.warning("firewall: the rules of %s are refused: %s", owner, refused.message)
            self.on_change(owner)
        raise OwnersExcluded(f"the rules of {', '.join(found)} were refused: {error}") from error

    def forget(self) -> None:
        """Try them again: a kernel module may be loaded by now."""
        self.rules = {}


async def refused_rules(change: RulesetChange, check: Check) -> Mapping[str, RefusedRules]:
    """The owners without whose part the kernel accepts the change.

    Owners are ordered by name. A binary search finds the first one that makes the change of all owners up to it
    refused; it is left out, and the search goes on behind it. k owners of n take about k log2 n dry runs.

    Returns:
        An empty mapping if a dry run accepts the whole change, or refuses what all owners share.

    Raises:
        FirewallError: a dry run failed for another reason than a refusal.
    """
    owners = sorted(change.owners - {SHARED})
    found: dict[str, RefusedRules] = {}

    async def refusal(up_to: int) -> str:
        """Why the change of the first owners, without those that were found, is refused; "": it is accepted."""
        try:
            await check(without(change, (*owners[up_to:], *found)))
        except FirewallRejected as error:
            return str(error)
        return ""

    if await refusal(0):
        return {}
    accepted = 0  # the change of so many owners is accepted
    while message := await refusal(len(owners)):
        refused = len(owners)
        while refused - accepted > 1:
            middle = (accepted + refused) // 2
            if why := await refusal(middle):
                refused, message = middle, why
            else:
                accepted = middle
        owner = owners[refused - 1]
        found[owner] = RefusedRules(change.target.part_of(owner), message)
        accepted = refused
    return found


def without(change: RulesetChange, owners: Iterable[str]) -> RulesetChange:
    """The change with the elements and rules of these owners as they were before it."""
    return diff(change.target, change.base, frozenset(owners))
