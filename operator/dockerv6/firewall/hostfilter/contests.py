"""Rules of other programs that put themselves back as often as our accept rule is moved because of them.

A program may insist on being the last in a chain, with a rule that may drop; ours belongs behind such a rule. Or on
being the first, with a rule that blocks; ours belongs above. Neither would ever end. So a rule that has gone back to
where ours had to be moved for `MOST` times within `WINDOW` is conceded: it is treated as if it neither blocked nor
dropped, for as long as it is in the chain. The log says so.

A ban that is lifted and added again is seen missing in between, and further bans of the same form leave the number of
those that are where they belong as it is: neither is a contest. The engine's jumps are none either (see `drops`).
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dockerv6.firewall.hostfilter.place import Place, entered, is_engine_chain
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.xtables.rule import ListedRule, XtablesChain, XtablesRule

logger = logging.getLogger(__name__)

MOST = 16
WINDOW = 3600.0
"""Seconds. A rule that is put back less often than every few minutes costs nothing to follow."""


@dataclass(slots=True)
class _Chain:
    """One chain. `above` and `below`: how often each rule was on that side of ours, when ours was placed last."""

    above: Counter[XtablesRule] = field(default_factory=Counter)
    below: Counter[XtablesRule] = field(default_factory=Counter)
    returned: dict[XtablesRule, list[float]] = field(default_factory=dict)
    conceded: frozenset[XtablesRule] = frozenset()


@dataclass(slots=True)
class Contests:
    """What is remembered of the chains that hold our accept rule, until the end of the process."""

    clock: Callable[[], float] = time.monotonic
    _chains: dict[tuple[FilterVariant, str], _Chain] = field(default_factory=dict)

    def see(self, variant: FilterVariant, chains: Mapping[str, XtablesChain]) -> Mapping[str, Collection[XtablesRule]]:
        """Forget the rules that are gone; return `conceded`."""
        for name in chains:
            known = self._chains.get((variant, name))
            if known is not None:
                present = {each.rule for each in chains[name].rules}
                known.conceded &= present
                for rules in (known.above, known.below, known.returned):
                    for gone in rules.keys() - present:
                        del rules[gone]
        return self.conceded(variant)

    def conceded(self, variant: FilterVariant) -> Mapping[str, Collection[XtablesRule]]:
        """The conceded rules of each chain."""
        return {name: known.conceded for (kind, name), known in self._chains.items() if kind is variant}

    def place(
        self, variant: FilterVariant, name: str, rules: Sequence[ListedRule], ours: Sequence[int], place: Place
    ) -> None:
        """Remember how the accept rule is placed.

        Args:
            variant: of the chain.
            name: the chain.
            rules: its rules before.
            ours: the indexes of the accept rules in it before; empty: it is not moved, but added.
            place: where it is put.
        """
        known = self._chains.setdefault((variant, name), _Chain())
        if ours:
            above = Counter(each.rule for each in rules[: ours[0]])
            below = Counter(each.rule for each in rules[ours[0] + 1 :])
            passed = {each.rule for each in rules[ours[0] + 1 : place.first]}
            returned = {rule for rule in passed if above[rule] < known.above[rule]}
            if place.blocking < ours[0]:
                rule = rules[place.blocking].rule
                if below[rule] < known.below[rule] and not is_engine_chain(entered(rule)):
                    returned.add(rule)
            for rule in returned:
                self._count(known, variant, name, rule)
        kept = [(at, each.rule) for at, each in enumerate(rules) if at not in ours]
        known.above = Counter(rule for at, rule in kept if at < place.first)
        known.below = Counter(rule for at, rule in kept if at >= place.first)

    def _count(self, known: _Chain, variant: FilterVariant, name: str, rule: XtablesRule) -> None:
        now = self.clock()
        times = [each for each in known.returned.get(rule, []) if now - each < WINDOW] + [now]
        known.returned[rule] = times
        if len(times) >= MOST:
            known.conceded |= {rule}
            logger.warning(
                "another program adds its rule `-A %s %s` (%s) again each time dockerv6 moves its accept rule behind"
                " it. dockerv6 leaves the accept rule where it is until that rule is deleted or dockerv6 is restarted",
                name,
                rule,
                variant,
            )
