"""`Firewall` on nftables: one table of our own, committed as one transaction and read back."""

import logging

from dockerv6.firewall.nftables import codec
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.nftables.spelling import Spelling
from dockerv6.firewall.port import FirewallRejected
from dockerv6.firewall.ruleset import EMPTY, Change, Ruleset, diff

logger = logging.getLogger(__name__)

_LIST: codec.Object = {"list": {"table": {"family": codec.FAMILY, "name": codec.TABLE}}}
_DELETE: codec.Object = {"delete": {"table": {"family": codec.FAMILY, "name": codec.TABLE}}}
_ATTEMPTS = 4
_ABSENT = "No such file or directory"


class NftablesFirewall:
    """Table `inet dockerv6`.

    The table is ours by its name alone: whatever else is found in it is drift and is removed, whoever made it, and
    a table of that name without our comment is taken over. Nobody else has a reason to use the name, and asking for
    a mark in the table would make a restored backup (`nft list ruleset` replayed without it) a conflict.

    An observation is kept together with the kernel's ruleset generation and given again while that stands, which
    makes a resync that finds nothing changed cost one small netlink message, however many networks there are.
    """

    def __init__(self, session: NftSession) -> None:
        """Work through a session, which the caller closes."""
        self._session = session
        self._spelling = Spelling()
        self._seen: tuple[int, Ruleset] | None = None

    @property
    def backend(self) -> str:
        """The backend's name."""
        return "nftables"

    @property
    def seen(self) -> int | None:
        """The generation that the latest reading is at least as new as."""
        return self._seen[0] if self._seen is not None else None

    async def observe(self) -> Ruleset:
        """What the table holds now."""
        return self._spelling.corrected(await self._read())

    async def check(self, change: Change) -> None:
        """Let the kernel judge the transaction without committing it."""
        if not change.empty:
            await self._session.run(codec.commands(change.steps), check=True)

    async def apply(self, change: Change) -> Ruleset:
        """Commit, and read back.

        When the kernel refuses because the table is no longer what the change was made against (somebody else wrote
        in between), the way to the same target is computed anew, a few times.
        """
        steps = change.steps
        for attempt in range(1, _ATTEMPTS + 1):
            if not steps:
                return await self.observe()
            try:
                await self._session.run(codec.commands(steps))
                break
            except FirewallRejected:
                fresh = diff(change.target, await self.observe()).steps
                if fresh == steps or attempt == _ATTEMPTS:
                    raise
                logger.info("the table changed while it was being written; trying again with what is there now")
                steps = fresh
        reading = await self._read()
        self._spelling.learn(change.target, reading)
        return self._spelling.corrected(reading)

    async def sweep(self) -> None:
        """Delete the table."""
        if await self._session.inet_table(codec.TABLE) is None:
            return
        try:
            await self._session.run([_DELETE])
        except FirewallRejected as error:
            if _ABSENT not in str(error):
                raise

    async def _read(self) -> Ruleset:
        generation = await self._session.generation()  # before listing: what is listed is at least as new
        if self._seen is not None and self._seen[0] == generation:
            return self._seen[1]
        reading = await self._list()
        self._seen = (generation, reading)
        return reading

    async def _list(self) -> Ruleset:
        table = await self._session.inet_table(codec.TABLE)
        if table is None:
            return EMPTY
        if table.dormant:
            # Not listed at all: it does nothing, libnftables 1.0.6 would crash, and it will be made anew anyway.
            return Ruleset(foreign=("the dormant flag",), exists=True)
        try:
            listed = await self._session.run([_LIST])
        except FirewallRejected as error:
            if _ABSENT in str(error):  # deleted since we asked
                return EMPTY
            raise
        return await self._session.call(lambda: codec.ruleset(listed))
