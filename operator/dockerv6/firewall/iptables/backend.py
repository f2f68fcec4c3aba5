"""`Firewall` on iptables-legacy: own chains in mangle and nat, committed table by table and read back."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from dockerv6.firewall.elements import EXTERNAL, PUBLISHED_AT_PORT, PUBLISHED_AT_TO, PUBLISHED_PORT, PUBLISHED_TO
from dockerv6.firewall.expr import Element
from dockerv6.firewall.iptables import compile as compiling
from dockerv6.firewall.iptables.readback import (
    NOTHING,
    Chains,
    Parts,
    TableContents,
    nat_part,
    ours,
    parts,
    settled,
    understood,
)
from dockerv6.firewall.port import FirewallRejected
from dockerv6.firewall.ruleset import EMPTY, Ruleset, RulesetChange
from dockerv6.firewall.xtables.entries import DNAT
from dockerv6.firewall.xtables.legacy import LegacyTable, LegacyWatch
from dockerv6.firewall.xtables.libiptc import locked
from dockerv6.firewall.xtables.rule import MANGLE, NAT, UnsupportedRuleError

logger = logging.getLogger(__name__)

T = TypeVar("T")

LEFT_OUT = compiling.LEFT_OUT
"""Chains that aren't written: [::1] of the host reaches a published port only through the engine's userland proxy."""

_ATTEMPTS = 8
_TRANSLATIONS = frozenset({EXTERNAL, PUBLISHED_TO, PUBLISHED_PORT, PUBLISHED_AT_TO, PUBLISHED_AT_PORT})


class _ChangedMeanwhile(Exception):  # noqa: N818 - named for what happened
    """Somebody who doesn't lock has written the table too.

    The kernel refuses then (EAGAIN: it has as many rules no more), or takes the rules but not their counters (EINVAL).
    """


class IptablesFirewall:
    """Chains `DOCKERV6-…` and one commented jump to each from the top of a built-in chain.

    Chains are ours by their name: whatever else is found in them is drift and is removed, whoever made it.

    The kernel announces no change of a legacy table, so it has to be asked (`fingerprint`). Both tables are then read
    and compared as bytes; nothing is understood anew while they are the same. Reading is done by this process itself;
    libiptc (13 MB) is loaded when there is something to write, and only then.

    A table is replaced as a whole, but the two of them one after the other: mangle, which drops, before nat, which
    lets in; what is no longer let in leaves nat before that. In between, no packet gets further than before or after.
    """

    def __init__(self) -> None:
        """Work in the network namespace of whoever first uses it."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="iptables")
        self._watch = LegacyWatch((MANGLE, NAT))
        self._parted: dict[str, tuple[LegacyTable, Chains]] = {}
        self._dnat: int | None = None
        self._meant: tuple[Ruleset, Parts] = EMPTY, NOTHING
        self._seen: tuple[Mapping[str, LegacyTable], Ruleset] | None = None

    @property
    def backend(self) -> str:
        """The backend's name."""
        return "iptables"

    @property
    def matches_link_kinds(self) -> bool:
        """A rule can't ask for a link's kind: the intent has to name the bridges."""
        return False

    @property
    def generation(self) -> int | None:
        """The legacy tables have no generation."""
        return None

    async def close(self) -> None:
        """End the thread."""
        await asyncio.to_thread(self._thread.shutdown)

    async def observe(self) -> Ruleset:
        """What our chains hold now."""
        return await self._call(self._observe)

    async def check(self, change: RulesetChange) -> None:
        """Let libiptc put the tables together without handing them to the kernel."""
        if not change.empty:
            await self._call(lambda: self._write(change.target, dry=True))

    async def apply(self, change: RulesetChange) -> Ruleset:
        """Make our chains what the target says, and read back. What is right already isn't touched."""
        return await self._call(lambda: self._apply(change))

    async def sweep(self) -> None:
        """Remove chains and jumps; loads nothing where there are none."""
        await self._call(self._sweep)

    async def poll_revision(self) -> int:
        """How often both tables, whoever's rules, have been found changed (see `LegacyWatch.glance`)."""
        return await self._call(self._watch.glance)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._forgetting(work))

    def _forgetting(self, work: Callable[[], T]) -> T:
        try:
            return work()
        finally:
            self._parted.clear()

    def _observe(self) -> Ruleset:
        found = self._watch.look()
        if self._seen is None or any(found[name] is not listing for name, listing in self._seen[0].items()):
            there = {name: self._chains(name, listing) for name, listing in found.items()}
            self._seen = found, understood(there, self._parts)
        return self._seen[1]

    def _chains(self, name: str, listing: LegacyTable) -> Chains:
        """The listing's chains; kept until a call is through, which may look at them more than once."""
        known = self._parted.get(name)
        if known is None or known[0] is not listing:
            known = self._parted[name] = listing, listing.chains()
        return known[1]

    def _parts(self, ruleset: Ruleset) -> Parts:
        """What the tables hold for a ruleset; kept, since what was written is what is read right afterwards."""
        if ruleset != self._meant[0]:
            self._meant = ruleset, parts(ruleset, self._revision())
        return self._meant[1]

    def _revision(self) -> int:
        if self._dnat is None:
            self._dnat = DNAT if self._watch.tables.has_revision("DNAT", DNAT) else DNAT - 1
        return self._dnat

    def _apply(self, change: RulesetChange) -> Ruleset:
        if not change.empty:
            self._write(change.target)
        return self._observe()

    def _sweep(self) -> None:
        if any(ours(listing.chains()) for listing in self._watch.look().values()):
            self._write(EMPTY)

    def _write(self, target: Ruleset, *, dry: bool = False) -> None:
        """Commit what differs.

        Raises:
            FirewallRejected: it can't be said in xtables, or was refused.
            FirewallUnavailable: there is no such table, or no privilege.
        """
        for _ in range(_ATTEMPTS):
            try:
                with locked():
                    observed = self._observe()
                    for name, part in self._phases(settled(target), observed):
                        self._commit(name, part, dry=dry)
            except UnsupportedRuleError as error:
                raise FirewallRejected(str(error)) from error
            except _ChangedMeanwhile:
                logger.info("a table changed while it was being written; trying again with what is there now")
            else:
                return
        raise FirewallRejected("somebody who takes no lock changes the legacy IPv6 tables all the time")

    def _phases(self, target: Ruleset, observed: Ruleset) -> Iterator[tuple[str, TableContents]]:
        """The commits that lead there, in an order in which nothing gets further than before or after."""
        final = self._parts(target)
        if not target.exists:
            yield NAT, final[NAT]
            yield MANGLE, final[MANGLE]
            return
        kept = _kept(target, observed)
        if kept is not None:
            yield NAT, nat_part(kept, self._revision())
        yield MANGLE, final[MANGLE]
        yield NAT, final[NAT]

    def _commit(self, name: str, part: TableContents, *, dry: bool) -> None:
        """Make one table so, under the lock."""
        from dockerv6.firewall.iptables import commit  # noqa: PLC0415 - heavy

        there = self._chains(name, self._watch.tables.read(name, self._watch.listings[name]))
        if part.chains or ours(there):
            with commit.opened(name) as table:
                there = there or self._watch.tables.read(name).chains()  # opening it has made it
                if not commit.prepare(table, there, part.chains, part.jumps) or dry:
                    return
                try:
                    commit.commit(table)
                except FirewallRejected as error:
                    if self._watch.tables.read(name).chains() == there:
                        raise
                    raise _ChangedMeanwhile from error


def _kept(target: Ruleset, observed: Ruleset) -> Ruleset | None:
    """The target with those translations only that are there already; None: none is to go."""
    there = {each.name: each.elements for each in observed.sets if each.name in _TRANSLATIONS}
    if all(elements <= _elements(target, name) for name, elements in there.items()):
        return None
    return replace(
        target,
        sets=tuple(
            replace(each, elements=each.elements & there.get(each.name, frozenset()))
            if each.name in _TRANSLATIONS
            else each
            for each in target.sets
        ),
    )


def _elements(ruleset: Ruleset, name: str) -> frozenset[Element]:
    found = ruleset.set(name)
    return found.elements if found is not None else frozenset()
