"""`HostFilter` on Linux: the accept rule in both xtables variants, and the packet walk through all filters.

Both variants of xtables can hold rules at the same time, and a packet passes both, so both are read, and each that
drops gets its own accept rule.

Reading spawns nothing, and no library decodes what other programs have written (ADR 0031). The accept rule is inserted
into iptables-nft's table by `ip6tables-nft-restore`, because the table belongs to iptables-nft and has to stay readable
for it; deleting goes by the rule's handle. That program inserts by number, and another one may change the chain just
before that: so the chain is read again, and the rule moved again if it is not in its place. iptables-legacy is read
and written under the lock, through libiptc.
"""

import asyncio
import logging
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from dockerv6.firewall.hostfilter.contests import Contests
from dockerv6.firewall.hostfilter.drops import accept_rule, find_drops, has_accept_rule, is_accept_rule
from dockerv6.firewall.hostfilter.place import FORWARD, USER, FilterChains, Layout, Place, unread
from dockerv6.firewall.hostfilter.reading import PacketWalk
from dockerv6.firewall.model import FilterVariant, ForwardDrop, HostFilterState
from dockerv6.firewall.nftables.commands import delete_foreign_rule
from dockerv6.firewall.nftables.foreign import NftChain, list_chains
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallBusy, FirewallRejected, FirewallUnavailable
from dockerv6.firewall.walk.packet import Flow, Paths
from dockerv6.firewall.walk.remedies import ENGINE_TABLE
from dockerv6.firewall.walk.verdicts import FlowVerdict
from dockerv6.firewall.xtables import libiptc, nft
from dockerv6.firewall.xtables.entries import encode
from dockerv6.firewall.xtables.legacy import LegacyReader, LegacyWatch, used_tables
from dockerv6.firewall.xtables.rule import FILTER, NAT, OWN_CHAIN_PREFIX, ListedRule, XtablesChain, XtablesRule

logger = logging.getLogger(__name__)

T = TypeVar("T")

PROGRAM = "ip6tables-nft-restore"
_ATTEMPTS = 8
_TIMEOUT = 30.0
"""Seconds. The program waits for the kernel only."""


@dataclass(frozen=True, slots=True)
class _NftablesState:
    """What one generation of nftables' rules holds, those of iptables-nft included."""

    generation: int
    mark: int
    state: HostFilterState


class LinuxHostFilter:
    """The filter of the network namespace that the session is in.

    What waits for the xtables lock or for ip6tables does so on a thread of its own; repairs of our table and readings
    go on meanwhile. The threads end with this object.
    """

    def __init__(self, session: NftSession) -> None:
        """Work through a session, which the caller closes, in the network namespace of the calling thread."""
        self._session = session
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="xtables-reader")
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="xtables-writer")
        self._walker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="packet-walk")
        self._trace = PacketWalk()
        for thread in (self._reader, self._writer, self._walker):
            thread.submit(int)  # it starts now: a thread stays in the network namespace of the one that started it
        self._nftables: _NftablesState | None = None
        self._watch = LegacyWatch((FILTER,))
        self._contests = Contests()
        self._unavailable = ""
        self._writing = asyncio.Lock()  # of two that read and then insert, the second must see the first one's rule

    async def observe(self, mark: int) -> HostFilterState:
        """Find what drops, and our accept rules. Spawns nothing; loads no table by reading."""
        in_nftables = await self._read_nftables(mark)
        drops, orphaned = self._find(FilterVariant.XTABLES_LEGACY, await _call(self._reader, _read_legacy), mark)
        return HostFilterState((*in_nftables.forward_drops, *drops), (*in_nftables.orphaned, *orphaned))

    async def _read_nftables(self, mark: int) -> HostFilterState:
        """What is written in nftables, kept while its generation stands: an engine's FORWARD can have 2,000 rules."""
        try:
            generation = await self._session.generation()
        except FirewallUnavailable as error:
            if str(error) != self._unavailable:  # logged once; without nf_tables nothing in it can drop
                logger.info("the host filter is read in iptables-legacy only: %s", error)
                self._unavailable = str(error)
            return HostFilterState()
        known = self._nftables
        if known is None or (known.generation, known.mark) != (generation, mark):
            listed = await list_chains(self._session)
            drops, orphaned = self._find(FilterVariant.XTABLES_NFT, await self._read_filter(listed), mark)
            known = _NftablesState(generation, mark, HostFilterState(drops, orphaned))
            self._nftables = known
        return known.state

    def _find(
        self, variant: FilterVariant, chains: FilterChains, mark: int
    ) -> tuple[tuple[ForwardDrop, ...], tuple[ForwardDrop, ...]]:
        return find_drops(chains, variant, mark, self._contests.see(variant, chains))

    async def _read_filter(self, listed: tuple[NftChain, ...] | None = None) -> FilterChains:
        known = await list_chains(self._session) if listed is None else listed
        found: dict[str, XtablesChain] = {}
        wanted = frozenset({FORWARD, USER})
        while wanted:
            for each in wanted:
                chains = await nft.read_chains(self._session, nft.FAMILY, FILTER, each, listed=known)
                found |= {name: chain for (_, name), chain in chains.items()}
            wanted = _next(found, wanted)
        return found

    async def follow(self, flows: Sequence[Flow], paths: Paths) -> Sequence[FlowVerdict]:
        """What becomes of each flow. On a thread of its own, so that no repair waits for it."""
        return await _call(self._walker, lambda: self._trace.follow(flows, paths))

    async def close(self) -> None:
        """Close what the packet walk reads with. The threads end with this object."""
        await _call(self._walker, self._trace.close)

    async def poll_revision(self) -> int | None:
        """How often the legacy filter table, which announces nothing, has been found changed; None: it isn't used."""
        return await _call(self._reader, self._glance)

    def _glance(self) -> int | None:
        if FILTER not in used_tables() and not self._watch.revision:
            return None
        return self._watch.poll()

    async def add_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Insert the accept rule into the drop's chain, or move it, unless it is in its place.

        Raises:
            FirewallRejected: refused, or only an administrator can insert it; the drop's remedy is the message.
            FirewallBusy: other programs change the chain all the time.
        """
        async with self._writing:
            match drop.variant:
                case FilterVariant.XTABLES_NFT:
                    await self._add_nft(drop.chain, mark)
                case FilterVariant.XTABLES_LEGACY:
                    conceded = self._contests.conceded(drop.variant)
                    placed = await self._write_legacy(lambda: _add_legacy(drop.chain, mark, conceded))
                    if placed is not None:
                        self._contests.place(drop.variant, drop.chain, *placed)
                case FilterVariant.NFTABLES:
                    raise FirewallRejected("the accept rule is for tables of xtables only")

    async def remove_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Delete our accept rule from the drop's chain, every copy of it; absent is success."""
        async with self._writing:
            match drop.variant:
                case FilterVariant.XTABLES_NFT:
                    await self._delete_nft(drop.chain, await self._accept_rule_handles(drop.chain, mark))
                case FilterVariant.XTABLES_LEGACY:
                    await self._write_legacy(lambda: _remove_legacy(drop.chain, mark))
                case FilterVariant.NFTABLES:
                    return

    async def _write_legacy(self, work: Callable[[], T]) -> T:
        return await _call(self._writer, lambda: libiptc.write(work))

    async def _add_nft(self, name: str, mark: int) -> None:
        """Insert the accept rule unless it is in its place; older copies are deleted after that."""
        for attempt in range(_ATTEMPTS):
            chains = await self._read_filter()
            layout = Layout(chains, self._contests.conceded(FilterVariant.XTABLES_NFT))
            if has_accept_rule(layout, name, mark):
                return
            older = await self._accept_rule_handles(name, mark)
            placed = _placed(layout, name, mark)
            if not attempt:
                self._contests.place(FilterVariant.XTABLES_NFT, name, *placed)
            try:
                await self._restore(f"-I {name} {placed[-1].first + 1} {accept_rule(mark)}")
            except FirewallRejected:
                if await self._read_filter() == chains:
                    raise
                continue  # the number is behind the end of the chain, which has become shorter
            if not set(await self._accept_rule_handles(name, mark)) - set(older):
                await self._restore(f"-D {name} {accept_rule(mark)}")
                raise FirewallRejected(
                    f"{PROGRAM} wrote the accept rule into {name} in a form that dockerv6 doesn't recognise: "
                    "run another version of iptables"
                )
            await self._delete_nft(name, older)
        raise FirewallBusy(f"other programs change {name} of iptables-nft all the time")

    async def _accept_rule_handles(self, name: str, mark: int) -> tuple[int, ...]:
        chain = await nft.read_chain(self._session, nft.FAMILY, FILTER, name) or XtablesChain()
        return tuple(each.handle for each in chain.rules if is_accept_rule(each.rule, mark))

    async def _delete_nft(self, name: str, handles: tuple[int, ...]) -> None:
        await self._session.run([delete_foreign_rule(FILTER, name, each) for each in handles])

    async def _restore(self, command: str) -> None:
        await _call(self._writer, lambda: _restore_nft(f"*{FILTER}\n{command}\nCOMMIT\n"))


async def _call(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    try:
        result = asyncio.get_running_loop().run_in_executor(thread, work)
    except RuntimeError as error:  # the thread can't be started: a limit of the systemd unit or of the container
        raise FirewallUnavailable(f"the host's filter can't be changed or read: {error}") from error
    return await result


def _next(found: dict[str, XtablesChain], asked: frozenset[str]) -> frozenset[str]:
    """The chains to read next. Others than the first two that were asked for and are gone count as empty."""
    for gone in asked - found.keys() - {FORWARD, USER}:
        found[gone] = XtablesChain()
    return unread(found) - {FORWARD, USER}


def _read_legacy() -> FilterChains:
    table = LegacyReader().read(FILTER)
    found: dict[str, XtablesChain] = {}
    wanted = frozenset({FORWARD, USER})
    while wanted:
        found |= table.chains(FILTER, *wanted)
        wanted = _next(found, wanted)
    return found


_Placed = tuple[Sequence[ListedRule], Sequence[int], Place]
"""The rules of a chain, the indexes of our accept rules in it, and where the accept rule belongs."""


def _placed(layout: Layout, name: str, mark: int) -> _Placed:
    rules = layout.chains[name].rules if name in layout.chains else ()
    return rules, [at for at, each in enumerate(rules) if is_accept_rule(each.rule, mark)], layout.place(name)


def _add_legacy(name: str, mark: int, conceded: Mapping[str, Collection[XtablesRule]]) -> _Placed | None:
    """Put the accept rule into its place, under the lock. Returns how; None: it is there."""
    layout = Layout(_read_legacy(), conceded)
    if name not in layout.chains:
        raise FirewallRejected(f"chain {name} of the legacy IPv6 filter table is gone")
    if has_accept_rule(layout, name, mark):
        return None
    rules, ours, place = placed = _placed(layout, name, mark)
    with libiptc.opened(FILTER) as table:
        for at in ours:
            libiptc.delete(table, name, rules[at].entry)
        libiptc.insert(table, name, encode(accept_rule(mark)), place.first - sum(at < place.first for at in ours))
        libiptc.commit(table)
    return placed


def _remove_legacy(name: str, mark: int) -> None:
    chain = LegacyReader().read(FILTER).chains(FILTER, name).get(name, XtablesChain())
    entries = [each.entry for each in chain.rules if is_accept_rule(each.rule, mark)]
    if entries:
        with libiptc.opened(FILTER) as table:
            for entry in entries:
                libiptc.delete(table, name, entry)
            libiptc.commit(table)


def _restore_nft(text: str) -> None:
    try:
        done = subprocess.run(
            (PROGRAM, "--noflush", "--wait"),
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_TIMEOUT,
        )
    except FileNotFoundError:
        raise FirewallUnavailable(
            f"{PROGRAM} is not installed, but table ip6 filter is iptables-nft's and drops forwarded packets: "
            "apt install iptables"
        ) from None
    except subprocess.TimeoutExpired as error:
        raise FirewallBusy(f"{PROGRAM} has not ended within {_TIMEOUT:.0f} s") from error
    except (OSError, subprocess.SubprocessError) as error:  # such as EAGAIN: a limit of processes
        raise FirewallUnavailable(f"{PROGRAM} can't be run: {error}") from error
    if done.returncode != 0:
        raise FirewallRejected(f"{PROGRAM}: {done.stderr.strip() or f'exit code {done.returncode}'}")


async def engine_variants(session: NftSession) -> frozenset[FilterVariant]:
    """Where the engine's own IPv6 chains are: `DOCKER…` in filter or nat, or table `ip6 docker-bridges`.

    Several places at once is what a change of `iptables` alternatives leaves. Loads no table by reading.
    Raises `FirewallUnavailable` when it is not permitted.
    """
    found: set[FilterVariant] = set()
    for each in await list_chains(session):
        if each.family == nft.FAMILY and each.table == ENGINE_TABLE:
            found.add(FilterVariant.NFTABLES)
        elif each.family == nft.FAMILY and each.table in {FILTER, NAT} and _is_engine_chain(each.name):
            found.add(FilterVariant.XTABLES_NFT)
    if await session.call(_engine_in_legacy):
        found.add(FilterVariant.XTABLES_LEGACY)
    return frozenset(found)


def _engine_in_legacy() -> bool:
    reader = LegacyReader()
    return any(_is_engine_chain(name) for table in (FILTER, NAT) for name in reader.read(table).entries())


def _is_engine_chain(name: str) -> bool:
    return name.startswith("DOCKER") and not name.startswith(OWN_CHAIN_PREFIX)
