"""`HostFilter` on Linux: both xtables variants, and nftables' own tables.

Both variants of xtables can hold rules at the same time, and a packet passes both, so both are read, and each that
drops gets its own accept rule.

Reading spawns nothing, and no library decodes what other programs have written (ADR 0031). The accept rule is inserted
into iptables-nft's table by `ip6tables-nft-restore`, because the table belongs to iptables-nft and has to stay readable
for it; deleting goes by the rule's handle. iptables-legacy is written through libiptc.
"""

import asyncio
import logging
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from dockerv6.firewall.hostfilter.drops import (
    ENGINE_TABLE,
    FORWARD,
    USER,
    FilterChains,
    accept_rule,
    find_drops,
    has_accept_rule,
    is_accept_rule,
    native_drop,
)
from dockerv6.firewall.model import FilterVariant, ForwardDrop, HostFilterState
from dockerv6.firewall.nftables.commands import FAMILY, TABLE, delete_foreign_rule
from dockerv6.firewall.nftables.foreign import NftChain, list_chains
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallBusy, FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables import libiptc, nft
from dockerv6.firewall.xtables.entries import encode
from dockerv6.firewall.xtables.legacy import LegacyReader, LegacyWatch, used_tables
from dockerv6.firewall.xtables.rule import FILTER, NAT, OWN_CHAIN_PREFIX, XtablesChain

logger = logging.getLogger(__name__)

T = TypeVar("T")

PROGRAM = "ip6tables-nft-restore"
_TIMEOUT = 30.0
"""Seconds. The program waits for the kernel only."""

_NATIVE_FAMILIES = frozenset({"inet", "ip6"})


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
        for thread in (self._reader, self._writer):
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
            native = await read_native_drops(self._session, mark, listed)
            known = _NftablesState(generation, mark, HostFilterState((*drops, *native), orphaned))
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
                    raise FirewallRejected(drop.remedy)

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


async def read_native_drops(session: NftSession, mark: int, listed: tuple[NftChain, ...]) -> tuple[ForwardDrop, ...]:
    """Every base chain in the forward hook of nftables' own tables that drops; of the host's chains `listed`."""
    found: list[ForwardDrop] = []
    for each in listed:
        if not _is_native_forward(each):
            continue
        only = () if each.table == ENGINE_TABLE else (each.name,)  # the engine has a chain for each network
        chains = await nft.read_chains(session, each.family, each.table, *only, listed=listed)
        drop = native_drop(each, {name: chain for (_, name), chain in chains.items()}, listed, mark)
        if drop is not None:
            found.append(drop)
    return tuple(found)


def _is_native_forward(chain: NftChain) -> bool:
    own = (chain.family, chain.table) == (FAMILY, TABLE)
    xtables = (chain.family, chain.table, chain.name) == (nft.FAMILY, FILTER, FORWARD)
    hooked = chain.hook == "forward" and chain.type == "filter"
    return chain.family in _NATIVE_FAMILIES and hooked and not own and not xtables


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
