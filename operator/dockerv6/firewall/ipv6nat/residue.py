"""docker-ipv6nat on this host, found and removed: the part that asks and acts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from dockerv6.firewall.hostfilter import listing as chain_listing
from dockerv6.firewall.ipv6nat import addrtype, listing, processes
from dockerv6.firewall.ipv6nat.rules import MADE, Certainty, Tables, Verdict, judge
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.nftables.codec import Object
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables.legacy import LegacyReader as LegacyTables
from dockerv6.firewall.xtables.legacy import used_tables

NAME = "docker-ipv6nat"
REMEDY = "`dockerv6 doctor` says how to move over"

_DENIED = "not permitted"
"""In the message of every `FirewallUnavailable` that more privileges would mend."""

_CHAINS: Object = {"list": {"chains": None}}
_HINT = ("nat", "POSTROUTING")
"""Where it masquerades what goes from the host's own address into a network; no engine does that."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What it wrote through one variant of xtables."""

    variant: FilterVariant
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Residue:
    """docker-ipv6nat's presence on a host: its rules, its process, or both.

    Attributes:
        traces: by variant; empty where it runs and has written nothing that could be told from an engine's.
        processes: ids of its processes, as far as they can be seen from here.
    """

    traces: tuple[Traces, ...]
    processes: tuple[int, ...] = ()

    @property
    def at_work(self) -> bool:
        """Whether it runs now. False is no proof: from within a container its process may be invisible."""
        return bool(self.processes)

    @property
    def certainty(self) -> Certainty:
        """CERTAIN, but where only rules without effect are there, which an engine might have left as well."""
        certain = self.at_work or any(each.verdict.certainty is Certainty.CERTAIN for each in self.traces)
        return Certainty.CERTAIN if certain else Certainty.LIKELY

    @property
    def variants(self) -> tuple[FilterVariant, ...]:
        """The variants of xtables that hold its rules."""
        return tuple(each.variant for each in self.traces)

    @property
    def chains(self) -> tuple[str, ...]:
        """Its chains, such as "nat DOCKER"; none where the engine's own rules are on and share them."""
        return tuple(
            sorted({" ".join(place) for each in self.traces for place in (*each.verdict.chains, *each.verdict.kept)})
        )

    @property
    def networks(self) -> tuple[str, ...]:
        """Bridges of the networks that it looks, or looked, after."""
        return tuple(sorted({bridge for each in self.traces for bridge in each.verdict.networks}))

    @property
    def rules(self) -> int:
        """How many rules are certainly its."""
        return sum(len(each.verdict.rules) for each in self.traces)

    @property
    def engine(self) -> bool:
        """Whether the engine's own IPv6 rules are on beside it: it emptied their chains when it started."""
        return any(each.verdict.engine for each in self.traces)

    @property
    def message(self) -> str:
        """One line for a condition, an event or a person."""
        if self.at_work:
            ids = ", ".join(map(str, self.processes))
            holds = f" with {self._holding}" if self.traces else ""
            return f"{NAME} is at work beside us (process {ids}){holds}: both translate the same packets; {REMEDY}"
        if self.certainty is Certainty.LIKELY:
            return (
                f"chains without effect are left in {self._where}, probably by {NAME}, which has no network here; "
                "they do no harm"
            )
        return f"{NAME} is not seen running but left {self._holding}: stale translations stay in force; {REMEDY}"

    @property
    def _holding(self) -> str:
        count = "1 rule" if self.rules == 1 else f"{self.rules} rules"
        of = f" for {', '.join(self.networks)}" if self.networks else ""
        return f"{count} in {self._where}{of}"

    @property
    def _where(self) -> str:
        return " and ".join(str(variant) for variant in self.variants)


async def find(session: NftSession, *, thorough: bool = False) -> Residue | None:
    """Look for docker-ipv6nat in this network namespace: its rules in either variant of xtables, and its process.

    Spawns nothing, and makes no table by looking. Unless it is to be `thorough`, rules are read only where one of those
    is that it writes for each network but internal ones: beside an engine with 400 networks this takes 15 ms instead of
    200 (and libiptc's 13 MB on iptables-legacy).

    Raises:
        FirewallUnavailable, FirewallRejected: the rules can't be read.
    """
    traces: list[Traces] = []
    try:
        if thorough or await _hinted_nft(session):
            _judge(FilterVariant.XTABLES_NFT, await _read_nft(session), traces)
    except FirewallUnavailable as error:
        if _DENIED in str(error):
            raise
        # no nf_tables in this kernel: nothing is in it
    # not on the session's thread, which repairs may be waiting for
    if thorough or await asyncio.to_thread(_hinted_legacy):
        _judge(FilterVariant.XTABLES_LEGACY, await asyncio.to_thread(_read_legacy), traces)
    running = await asyncio.to_thread(processes.at_work)
    return Residue(tuple(traces), running) if traces or running else None


def _judge(variant: FilterVariant, tables: Tables, traces: list[Traces]) -> None:
    verdict = judge(tables)
    if verdict is not None:
        traces.append(Traces(variant, verdict))


async def _hinted_nft(session: NftSession) -> bool:
    listed = chain_listing.chains(await session.run([_CHAINS]))
    if not any((c.family, c.table, c.name) == (listing.FAMILY, *_HINT) for c in listed):
        return False
    return "dst" in (await session.call(lambda: _local({_HINT}))).values()


def _hinted_legacy() -> bool:
    table, chain = _HINT
    return any(addrtype.in_entry(each) == "dst" for each in LegacyTables().read(table).entries().get(chain, ()))


async def remove(session: NftSession, residue: Residue) -> None:
    """Remove the rules and chains that the residue lists, each variant in as few transactions as it has.

    Raises:
        FirewallRejected: it is at work, or rules changed meanwhile; try again.
        FirewallUnavailable: not permitted.
    """
    if residue.at_work:
        raise FirewallRejected(f"{NAME} is at work and would write its rules again: stop it first")
    for each in residue.traces:
        match each.variant:
            case FilterVariant.XTABLES_NFT:
                await _remove_nft(session, each.verdict)
            case FilterVariant.XTABLES_LEGACY:
                await asyncio.to_thread(_remove_legacy, each.verdict)
            case FilterVariant.NFTABLES:
                raise FirewallRejected(f"{NAME} never writes into nftables' own tables")
            case _:
                assert_never(each.variant)


async def _read_nft(session: NftSession) -> Tables:
    listed = [
        each
        for each in chain_listing.chains(await session.run([_CHAINS]))
        if each.family == listing.FAMILY and each.table in MADE
    ]
    if not any(each.name in MADE[each.table] for each in listed):
        return Tables({})
    items: list[Object] = []
    for table in sorted({each.table for each in listed}):
        items += await _list(session, table)
    local = await session.call(lambda: _local({(each.table, each.name) for each in listed}))
    return listing.tables(items, local)


async def _list(session: NftSession, table: str) -> Sequence[Object]:
    try:
        return await session.run([{"list": {"table": {"family": listing.FAMILY, "name": table}}}])
    except FirewallRejected as error:
        if "No such file or directory" in str(error):  # deleted since it was listed
            return ()
        raise


def _local(chains: set[tuple[str, str]]) -> dict[int, str]:
    """Handles are unique in a table, and only one of both tables has such matches: nat."""
    found: dict[int, str] = {}
    try:
        for table, chain in chains:
            if table == "nat":
                found.update(addrtype.local_addresses(table, chain))
    except OSError as error:
        raise FirewallUnavailable(f"can't read the packet filter: {error}; run as root") from error
    return found


def _read_legacy() -> Tables:
    names = used_tables() & MADE.keys()
    if not names:
        return Tables({})
    from dockerv6.firewall.ipv6nat import legacy  # noqa: PLC0415 - heavy, and few hosts need it

    return legacy.read(names)


async def _remove_nft(session: NftSession, verdict: Verdict) -> None:
    commands: list[Object] = [
        {"delete": {"rule": {"family": listing.FAMILY, "table": r.table, "chain": r.chain, "handle": r.handle}}}
        for r in verdict.rules
    ]
    commands += [
        {"delete": {"chain": {"family": listing.FAMILY, "table": table, "name": name}}}
        for table, name in verdict.chains
    ]
    if commands:
        await session.run(commands)


def _remove_legacy(verdict: Verdict) -> None:
    from dockerv6.firewall.ipv6nat import legacy  # noqa: PLC0415 - heavy, and few hosts need it

    legacy.remove(verdict)
