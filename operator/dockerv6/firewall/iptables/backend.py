"""`Firewall` on iptables-legacy: own chains in mangle and nat, committed table by table and read back."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from dockerv6.firewall.elements import PUBLISHED_AT_PORT, PUBLISHED_AT_TO, PUBLISHED_PORT, PUBLISHED_TO
from dockerv6.firewall.iptables import compile as compiling
from dockerv6.firewall.iptables.entries import DNAT
from dockerv6.firewall.iptables.kernel import ABSENT, Listing, Tables
from dockerv6.firewall.iptables.lock import locked
from dockerv6.firewall.iptables.lookup import NotSayableError
from dockerv6.firewall.iptables.readback import NOTHING, Chains, Part, Parts, nat_part, ours, parts, settled, understood
from dockerv6.firewall.iptables.specs import MANGLE, NAT
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.firewall.ruleset import EMPTY, Change, Ruleset

logger = logging.getLogger(__name__)

T = TypeVar("T")

LEFT_OUT = compiling.LEFT_OUT
"""Chains that this backend leaves out: [::1] of the host reaches a published port only by the engine's userland proxy."""

_ATTEMPTS = 8
_TRANSLATIONS = frozenset({PUBLISHED_TO, PUBLISHED_PORT, PUBLISHED_AT_TO, PUBLISHED_AT_PORT})
_NO_CHAINS: Chains = {}


@dataclass(frozen=True, slots=True)
class _Seen:
    listings: dict[str, Listing]
    ruleset: Ruleset


_NOTHING_SEEN = _Seen({MANGLE: ABSENT, NAT: ABSENT}, EMPTY)


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
        self._tables = Tables()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="iptables")
        self._seen = _NOTHING_SEEN
        self._number = 0
        self._dnat: int | None = None

    @property
    def backend(self) -> str:
        """The backend's name."""
        return "iptables"

    @property
    def knows_link_kinds(self) -> bool:
        """A rule can't ask for a link's kind: the intent has to name the bridges."""
        return False

    @property
    def seen(self) -> int | None:
        """The legacy tables have no generation."""
        return None

    async def close(self) -> None:
        """End the thread."""
        await asyncio.to_thread(self._thread.shutdown)
        self._tables.close()

    async def observe(self) -> Ruleset:
        """What our chains hold now."""
        return await self._call(self._observe)

    async def check(self, change: Change) -> None:
        """Let libiptc put the tables together without handing them to the kernel."""
        if not change.empty:
            await self._call(lambda: self._write(change.target, dry=True))

    async def apply(self, change: Change) -> Ruleset:
        """Make our chains what the target says, and read back. What is right already isn't touched."""
        if not change.empty:
            await self._call(lambda: self._write(change.target))
        return await self.observe()

    async def sweep(self) -> None:
        """Remove chains and jumps; loads nothing where there are none."""
        await self._call(self._sweep)

    async def fingerprint(self) -> int:
        """How often both tables, whoever's rules, have been found changed."""
        return await self._call(self._fingerprint)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _fingerprint(self) -> int:
        self._observe()
        return self._number

    def _observe(self) -> Ruleset:
        known = self._seen.listings
        found = {name: self._tables.read(name, listing) for name, listing in known.items()}
        if any(found[name] is not known[name] for name in found):
            self._number += 1
            there = {name: listing.chains() for name, listing in found.items()}
            self._seen = _Seen(found, understood(there, self._revision()))
        return self._seen.ruleset

    def _revision(self) -> int:
        if self._dnat is None:
            self._dnat = DNAT if self._tables.has_revision("DNAT", DNAT) else DNAT - 1
        return self._dnat

    def _sweep(self) -> None:
        if any(ours(self._tables.read(name).chains()) for name in (NAT, MANGLE)):
            self._write(EMPTY)

    def _write(self, target: Ruleset, *, dry: bool = False) -> None:
        from dockerv6.firewall.iptables.commit import ChangedMeanwhile  # noqa: PLC0415 - heavy

        try:
            wanted = settled(target)
            final = parts(wanted, self._revision())
            for _ in range(_ATTEMPTS):
                with locked():
                    try:
                        for name, part in _phases(wanted, final, self._observe(), self._revision()):
                            self._commit(name, part, dry=dry)
                    except ChangedMeanwhile:
                        logger.info("a table changed while it was being written; trying again with what is there now")
                        continue
                    return
        except NotSayableError as error:
            raise FirewallRejected(str(error)) from error
        raise FirewallRejected("somebody who takes no lock changes the legacy IPv6 tables all the time")

    def _commit(self, name: str, part: Part, *, dry: bool) -> None:
        """Make one table so, under the lock."""
        from dockerv6.firewall.iptables import commit  # noqa: PLC0415 - heavy

        if not part.chains and not ours(self._tables.read(name).chains()):
            return
        with commit.opened(name) as table:
            there = self._tables.read(name).chains()
            if commit.prepare(table, there, part.chains, part.jumps) and not dry:
                table.commit()


def _phases(target: Ruleset, final: Parts, observed: Ruleset, dnat: int) -> Iterator[tuple[str, Part]]:
    """The commits that lead there, in an order in which nothing gets further than before or after."""
    if not target.exists:
        yield NAT, NOTHING[NAT]
        yield MANGLE, NOTHING[MANGLE]
        return
    kept = _kept(target, observed)
    if kept is not None:
        yield NAT, nat_part(kept, dnat)
    yield MANGLE, final[MANGLE]
    yield NAT, final[NAT]


def _kept(target: Ruleset, observed: Ruleset) -> Ruleset | None:
    """The target with those translations only that are there already; None: none is to go."""
    sets = {each.name: each.elements for each in observed.sets if each.name in _TRANSLATIONS}
    if all(elements <= _elements(target, name) for name, elements in sets.items()):
        return None
    return replace(
        target,
        sets=tuple(
            replace(each, elements=each.elements & sets.get(each.name, frozenset()))
            if each.name in _TRANSLATIONS
            else each
            for each in target.sets
        ),
    )


def _elements(ruleset: Ruleset, name: str) -> frozenset[object]:
    found = ruleset.set(name)
    return frozenset(found.elements) if found is not None else frozenset()
