"""`HostFilter` on Linux: both xtables variants, and nftables' own tables.

Both variants of xtables can hold rules at the same time, and a packet passes both, so both are looked at and each that
drops gets its own accept rule; there is nothing to guess.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dockerv6.firewall.hostfilter import listing, native
from dockerv6.firewall.hostfilter.chains import TABLE, Chains, judge
from dockerv6.firewall.hostfilter.presence import legacy_in_use
from dockerv6.firewall.hostfilter.xtables_nft import NftTables
from dockerv6.firewall.model import FilterVariant, ForwardDrop, HostFilterState
from dockerv6.firewall.nftables.codec import Object
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable
from dockerv6.firewall.xtables.legacy import LegacyWatch

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CHAINS: Object = {"list": {"chains": None}}


class LinuxHostFilter:
    """The filter of the network namespace that the session is in.

    What waits for the xtables lock or for ip6tables does so on a thread of its own, which ends with this object;
    repairs of our table go on meanwhile.
    """

    def __init__(self, session: NftSession) -> None:
        """Work through a session, which the caller closes."""
        self._session = session
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="xtables")
        self._tables = NftTables(session, self._call)
        self._seen: tuple[int, int, Chains, tuple[ForwardDrop, ...]] | None = None
        self._watch = LegacyWatch((TABLE,))
        self._without = ""
        self._writing = asyncio.Lock()  # of two who look and then insert, the second must see the first one's rule

    async def observe(self, mark: int) -> HostFilterState:
        """Find what drops, and our accept rules. Spawns nothing; loads no table by looking."""
        nft_chains, native_barriers = await self._read_nftables(mark)
        legacy_chains = await self._call(lambda: _read_legacy(mark))
        drops: list[ForwardDrop] = []
        stray: list[ForwardDrop] = []
        for variant, chains in (
            (FilterVariant.XTABLES_NFT, nft_chains),
            (FilterVariant.XTABLES_LEGACY, legacy_chains),
        ):
            found, superfluous = judge(chains, variant)
            drops.extend(found)
            stray.extend(superfluous)
        return HostFilterState((*drops, *native_barriers), tuple(stray))

    async def _read_nftables(self, mark: int) -> tuple[Chains, tuple[ForwardDrop, ...]]:
        """What is written in nftables, kept while its generation stands: an engine's FORWARD can have 2,000 rules."""
        try:
            generation = await self._session.generation()
        except FirewallUnavailable as error:
            self._without_nftables(str(error))
            return {}, ()
        if self._seen is None or self._seen[:2] != (generation, mark):
            listed = listing.chains(await self._session.run([_CHAINS]))
            chains = await self._tables.read(mark, listed)
            self._seen = (generation, mark, chains, await native.barriers(self._session, mark, listed))
        return self._seen[2], self._seen[3]

    def _without_nftables(self, why: str) -> None:
        """A kernel without nf_tables has nothing in it that drops; whoever can't be asked is told of once."""
        if why != self._without:
            logger.info("only iptables-legacy is looked at for what drops: %s", why)
            self._without = why

    async def poll_revision(self) -> int | None:
        """How often the legacy filter table, which announces nothing, has been found changed; None: nobody uses it."""
        return await self._call(self._glance)

    def _glance(self) -> int | None:
        if not legacy_in_use() and not self._watch.number:
            return None
        return self._watch.glance()

    async def add_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Insert the accept rule at the top of the drop's chain, unless it is there and reached.

        Raises:
            FirewallRejected: refused, or the drop is not ours to mend; its remedy is the message.
        """
        async with self._writing:
            match drop.variant:
                case FilterVariant.XTABLES_NFT:
                    await self._tables.admit(drop.chain, mark)
                case FilterVariant.XTABLES_LEGACY:
                    await self._call(lambda: _admit_legacy(drop.chain, mark))
                case FilterVariant.NFTABLES:
                    raise FirewallRejected(drop.remedy)

    async def remove_accept_rule(self, drop: ForwardDrop, mark: int) -> None:
        """Delete our accept rule from the drop's chain; absent is success."""
        async with self._writing:
            match drop.variant:
                case FilterVariant.XTABLES_NFT:
                    await self._tables.withdraw(drop.chain, mark)
                case FilterVariant.XTABLES_LEGACY:
                    await self._call(lambda: _withdraw_legacy(drop.chain, mark))
                case FilterVariant.NFTABLES:
                    return

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _read_legacy(mark: int) -> Chains:
    if not legacy_in_use():
        return {}
    from dockerv6.firewall.hostfilter import legacy  # noqa: PLC0415 - heavy, and few hosts need it

    return legacy.read(mark)


def _admit_legacy(chain: str, mark: int) -> None:
    if not legacy_in_use():
        raise FirewallRejected("the legacy IPv6 filter table is gone")
    from dockerv6.firewall.hostfilter import legacy  # noqa: PLC0415 - heavy, and few hosts need it

    legacy.admit(chain, mark)


def _withdraw_legacy(chain: str, mark: int) -> None:
    if legacy_in_use():
        from dockerv6.firewall.hostfilter import legacy  # noqa: PLC0415 - heavy, and few hosts need it

        legacy.withdraw(chain, mark)
