"""`FirewallBackend` on iptables-legacy: our chains in mangle and nat, committed table by table and read back."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from dockerv6.firewall.elements import EXTERNAL, PUBLISHED_AT_PORT, PUBLISHED_AT_TO, PUBLISHED_PORT, PUBLISHED_TO
from dockerv6.firewall.expr import Element
from dockerv6.firewall.iptables.readback import (
    EMPTY_CONTENTS,
    Chains,
    Contents,
    TableContents,
    contents_of,
    entered_chain,
    has_jumps,
    has_own,
    nat_contents,
    ruleset_of,
    with_rendered_chains,
)
from dockerv6.firewall.port import FirewallRejected, RulesetMoved
from dockerv6.firewall.ruleset import EMPTY, Ruleset, RulesetChange
from dockerv6.firewall.xtables import libiptc
from dockerv6.firewall.xtables.entries import DNAT
from dockerv6.firewall.xtables.legacy import LegacyTable, LegacyWatch
from dockerv6.firewall.xtables.rule import MANGLE, NAT, OWN_CHAIN_PREFIX, UnsupportedRuleError

if TYPE_CHECKING:
    import iptc

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MOVED = "the tables don't hold what the change was computed from"
_TRANSLATIONS = frozenset({EXTERNAL, PUBLISHED_TO, PUBLISHED_PORT, PUBLISHED_AT_TO, PUBLISHED_AT_PORT})


class IptablesFirewall:
    """Chains `DOCKERV6-…`, and one commented jump to each base chain's at the top of a built-in chain.

    Chains are ours by their name: anything else in them is drift and is removed.

    The kernel announces no change of a legacy table, so it has to be polled (`poll_revision`). Both tables are read and
    compared as bytes, and decoded only if they differ. Reading needs no library; libiptc (13 MB) is loaded only when
    there is something to write.

    A table is replaced as a whole, but the two tables one after the other: mangle, which drops, before nat, which leads
    packets in; translations that are no longer wanted leave nat before that. In between, no packet gets further than
    before or after.
    """

    def __init__(self) -> None:
        """Work in the network namespace of the thread that first uses it."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="iptables")
        self._watch = LegacyWatch((MANGLE, NAT))
        self._entries: dict[str, tuple[LegacyTable, Chains]] = {}
        self._dnat: int | None = None
        self._expected: tuple[Ruleset, Contents] = EMPTY, EMPTY_CONTENTS
        self._observed: tuple[Mapping[str, LegacyTable], Ruleset] | None = None

    @property
    def backend(self) -> str:
        """The backend's name."""
        return "iptables"

    @property
    def matches_link_kinds(self) -> bool:
        """False: xtables can't match on a link's kind, so the intent has to name the bridges."""
        return False

    @property
    def generation(self) -> int | None:
        """None: the legacy tables have no generation."""
        return None

    async def close(self) -> None:
        """End the thread."""
        await asyncio.to_thread(self._thread.shutdown)

    async def observe(self) -> Ruleset:
        """The ruleset that our chains hold now."""
        return await self._call(self._observe)

    async def check(self, change: RulesetChange) -> None:
        """Let libiptc build the tables without committing them."""
        if not change.empty:
            await self._call(lambda: self._write(change.target, dry=True))

    async def apply(self, change: RulesetChange) -> Ruleset:
        """Write the chains that differ from the target's, and read back."""
        return await self._call(lambda: self._apply(change))

    async def sweep(self) -> None:
        """Remove our chains and jumps; loads no library where there are none."""
        await self._call(self._sweep)

    async def poll_revision(self) -> int:
        """How often the tables, with the rules of others, have been found changed (see `LegacyWatch.poll`)."""
        return await self._call(self._watch.poll)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._run_and_clear_cache(work))

    def _run_and_clear_cache(self, work: Callable[[], T]) -> T:
        try:
            return work()
        finally:
            self._entries.clear()

    def _observe(self) -> Ruleset:
        found = self._watch.read()
        if self._observed is None or any(found[name] is not table for name, table in self._observed[0].items()):
            present = {name: self._chains(name, table) for name, table in found.items()}
            self._observed = found, ruleset_of(present, self._contents)
        return self._observed[1]

    def _chains(self, name: str, table: LegacyTable) -> Chains:
        """The table's chains; kept until the call is done, which may need them more than once."""
        known = self._entries.get(name)
        if known is None or known[0] is not table:
            known = self._entries[name] = table, table.entries()
        return known[1]

    def _contents(self, ruleset: Ruleset) -> Contents:
        """What the tables should hold for a ruleset; kept, since what was written is read right afterwards."""
        if ruleset != self._expected[0]:
            self._expected = ruleset, contents_of(ruleset, self._revision())
        return self._expected[1]

    def _revision(self) -> int:
        if self._dnat is None:
            self._dnat = DNAT if self._watch.reader.has_revision("DNAT", DNAT) else DNAT - 1
        return self._dnat

    def _apply(self, change: RulesetChange) -> Ruleset:
        if not change.empty:
            self._write(change.target, change.base)
        elif self._observe() != change.base:
            raise RulesetMoved(_MOVED)
        return self._observe()

    def _sweep(self) -> None:
        if any(has_own(table.entries()) for table in self._watch.read().values()):
            self._write(EMPTY)

    def _write(self, target: Ruleset, base: Ruleset | None = None, *, dry: bool = False) -> None:
        """Commit what differs.

        Raises:
            RulesetMoved: the tables don't hold `base`, where one is given.
            FirewallRejected: xtables can't express the target, or the kernel refused it.
            FirewallBusy: another process holds the lock, or changes the tables without it.
            FirewallUnavailable: there is no such table, or no privilege.
        """

        def work() -> None:
            nonlocal base
            observed = self._observe()
            if base is not None and observed != base:
                raise RulesetMoved(_MOVED)
            for name, contents in self._phases(with_rendered_chains(target), observed):
                if self._commit(name, contents, dry=dry):
                    base = None  # what the tables hold from now on, we have written

        try:
            libiptc.write(work)
        except UnsupportedRuleError as error:
            raise FirewallRejected(str(error)) from error

    def _phases(self, target: Ruleset, observed: Ruleset) -> Iterator[tuple[str, TableContents]]:
        """The commits that lead to the target, in an order in which no packet gets further than before or after."""
        final = self._contents(target)
        if not target.exists:
            yield NAT, final[NAT]
            yield MANGLE, final[MANGLE]
            return
        kept = _kept(target, observed)
        if kept is not None:
            yield NAT, nat_contents(kept, self._revision())
        yield MANGLE, final[MANGLE]
        yield NAT, final[NAT]

    def _commit(self, name: str, contents: TableContents, *, dry: bool) -> bool:
        """Write one table, under the lock; whether it was changed.

        If the table changes meanwhile, the kernel may also take the rules but not their counters (EINVAL).
        """
        present = self._chains(name, self._watch.reader.read(name, self._watch.tables[name]))
        if not contents.chains and not has_own(present):
            return False
        with libiptc.opened(name) as table:
            present = present or self._watch.reader.read(name).entries()  # opening it has made it
            if not _prepare(table, present, contents) or dry:
                return False
            try:
                libiptc.commit(table)
            except FirewallRejected as error:
                if self._watch.reader.read(name).entries() == present:
                    raise
                raise libiptc.TableChanged from error
            return True


def _prepare(table: "iptc.Table6", present: Chains, contents: TableContents) -> bool:
    """Change the opened table so that it holds the contents; whether there was anything to change.

    Rules in chains of others that enter our chains, but for the jumps, are deleted: they would keep a chain alive.
    """
    own = {name: entries for name, entries in present.items() if name.startswith(OWN_CHAIN_PREFIX)}
    surplus = own.keys() - contents.chains.keys()
    refilled = [name for name, entries in contents.chains.items() if own.get(name) != entries]
    for name in contents.chains.keys() - own.keys():
        table.create_chain(name)
    for name in [*refilled, *surplus]:
        if name in own:
            table.flush_entries(name)
    for name in refilled:
        for entry in contents.chains[name]:
            libiptc.append(table, name, entry)
    jumps_changed = _prepare_jumps(table, present, contents.jumps)
    for name in surplus:
        table.delete_chain(name)
    return bool(refilled or surplus or jumps_changed)


def _prepare_jumps(table: "iptc.Table6", present: Chains, jumps: Chains) -> bool:
    changed = False
    for name, entries in present.items():
        wanted = jumps.get(name, ())
        if name.startswith(OWN_CHAIN_PREFIX) or has_jumps(entries, wanted):
            continue
        changed = True
        for each in filter(entered_chain, entries):
            libiptc.delete(table, name, each)
        for each in reversed(wanted):
            libiptc.insert(table, name, each)
    return changed


def _kept(target: Ruleset, observed: Ruleset) -> Ruleset | None:
    """The target with only those translations that the tables hold already; None: none of them is to be removed."""
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
