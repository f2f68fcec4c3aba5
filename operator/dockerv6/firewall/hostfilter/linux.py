"""`HostFilter` on Linux: the accept rule in both xtables variants, and the packet walk through all filters.

Both variants of xtables can hold rules at the same time, and a packet passes both, so both are read, and each that
drops gets its own accept rule.

Reading spawns nothing, and no library decodes what other programs have written (ADR 0031). The accept rule is inserted
into iptables-nft's table by `ip6tables-nft-restore`, because the table belongs to iptables-nft and has to stay readable
for it; deleting goes by the rule's handle. iptables-legacy is written through libiptc.
"""

import asyncio
import logging
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from dockerv6.firewall.hostfilter.drops import (
    FORWARD,
    USER,
    FilterChains,
    accept_rule,
    find_drops,
    has_accept_rule,
    is_accept_rule,
)
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
from dockerv6.firewall.xtables.rule import FILTER, NAT, OWN_CHAIN_PREFIX, XtablesChain

logger = logging.getLogger(__name__)

T = TypeVar("T")

PROGRAM = "ip6tables-nft-restore"
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
        self._unavailable = ""
        self._writing = asyncio.Lock()  # of two that read and then insert, the second must see the first one's rule

    async def observe(self, mark: int) -> HostFilterState:
        """Find what drops, and our accept rules. Spawns nothing; loads no table by reading."""
        in_nftables = await self._read_nftables(mark)
        legacy_chains = await _call(self._reader, lambda: LegacyReader().read(FILTER).chains(FILTER, FORWARD, USER))
        drops, orphaned = find_drops(legacy_chains, FilterVariant.XTABLES_LEGACY, mark)
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
            drops, orphaned = find_drops(await self._read_filter(listed), FilterVariant.XTABLES_NFT, mark)
            known = _NftablesState(generation, mark, HostFilterState(drops, orphaned))
            self._nftables = known
        return known.state

    async def _read_filter(self, listed: tuple[NftChain, ...]) -> FilterChains:
        found: dict[str, XtablesChain] = {}
        for each in (FORWARD, USER):
            chains = await nft.read_chains(self._session, nft.FAMILY, FILTER, each, listed=listed)
            found |= {name: chain for (_, name), chain in chains.items()}
        return found

    async def _read_nft(self, name: str) -> XtablesChain | None:
        return await nft.read_chain(self._session, nft.FAMILY, FILTER, name)

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
        """Insert the accept rule at the top of the drop's chain, unless it is there and reached.

        Raises:
            FirewallRejected: refused, or only an administrator can insert it; the drop's remedy is the message.
        """
        async with self._writing:
            match drop.variant:
                case FilterVariant.XTABLES_NFT:
                    await self._add_nft(drop.chain, mark)
                case FilterVariant.XTABLES_LEGACY:
                    await _call(self._writer, lambda: _add_legacy(drop.chain, mark))
                case FilterVariant.NFTABLES:
                    raise FirewallRejected("the accept rule is for tables of xtables only")

    async def remove_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Delete our accept rule from the drop's chain, every copy of it; absent is success."""
        async with self._writing:
            match drop.variant:
                case FilterVariant.XTABLES_NFT:
                    await self._delete_nft(drop.chain, await self._accept_rule_handles(drop.chain, mark))
                case FilterVariant.XTABLES_LEGACY:
                    await _call(self._writer, lambda: _remove_legacy(drop.chain, mark))
                case FilterVariant.NFTABLES:
                    return

    async def _add_nft(self, name: str, mark: int) -> None:
        """Insert the accept rule unless it is there and reached; older copies are deleted."""
        chain = await self._read_nft(name)
        if chain is not None and has_accept_rule(chain, mark):
            return
        older = await self._accept_rule_handles(name, mark)
        await self._restore(f"-I {name} {accept_rule(mark)}")
        fresh = await self._read_nft(name)
        if fresh is None or not has_accept_rule(fresh, mark):
            await self._restore(f"-D {name} {accept_rule(mark)}")
            raise FirewallRejected(
                f"{PROGRAM} wrote the accept rule into {name} in a form that dockerv6 doesn't recognise: "
                "run another version of iptables"
            )
        await self._delete_nft(name, older)

    async def _accept_rule_handles(self, name: str, mark: int) -> tuple[int, ...]:
        chain = await self._read_nft(name) or XtablesChain()
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


def _add_legacy(name: str, mark: int) -> None:
    with libiptc.locked():
        chain = LegacyReader().read(FILTER).chains(FILTER, name).get(name)
        if chain is None:
            raise FirewallRejected(f"chain {name} of the legacy IPv6 filter table is gone")
        if has_accept_rule(chain, mark):
            return
        with libiptc.opened(FILTER) as table:
            for each in chain.rules:
                if is_accept_rule(each.rule, mark):
                    libiptc.delete(table, name, each.entry)
            libiptc.insert(table, name, encode(accept_rule(mark)))
            libiptc.commit(table)


def _remove_legacy(name: str, mark: int) -> None:
    with libiptc.locked():
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
    try:
        listed = await list_chains(session)
    except FirewallUnavailable:  # no nf_tables: nothing is in it
        listed = ()
    for each in listed:
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
