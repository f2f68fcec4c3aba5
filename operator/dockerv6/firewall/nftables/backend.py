"""`Firewall` on nftables: one table of our own, committed as one transaction and read back."""

import logging
from functools import partial

from dockerv6.firewall.nftables import codec
from dockerv6.firewall.nftables.reader import Reader
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.nftables.spelling import Spelling
from dockerv6.firewall.port import FirewallRejected, RulesetMoved
from dockerv6.firewall.ruleset import EMPTY, Ruleset, RulesetChange

logger = logging.getLogger(__name__)

_DELETE: codec.Object = {"delete": {"table": {"family": codec.FAMILY, "name": codec.TABLE}}}
_ABSENT = "No such file or directory"

_Seen = tuple[int, Ruleset]
"""The kernel's generation, and what the table held then or later."""


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
        self._reader = Reader(session)
        self._spelling = Spelling()
        self._seen: _Seen | None = None

    @property
    def backend(self) -> str:
        """The backend's name."""
        return "nftables"

    @property
    def matches_link_kinds(self) -> bool:
        """`meta iifkind` and `meta oifkind` do."""
        return True

    @property
    def generation(self) -> int | None:
        """The generation that the latest reading is at least as new as."""
        return self._seen[0] if self._seen is not None else None

    async def close(self) -> None:
        """The session is the caller's."""

    async def observe(self) -> Ruleset:
        """What the table holds now."""
        self._seen = await self._session.call(partial(self._read, self._seen))
        return self._spelling.corrected(self._seen[1])

    async def check(self, change: RulesetChange) -> None:
        """Let the kernel judge the transaction without committing it."""
        if not change.empty:
            await self._session.run(codec.commands(change.operations), check=True)

    async def apply(self, change: RulesetChange) -> Ruleset:
        """Commit, and read back."""
        self._seen = await self._session.call(partial(self._apply, change))
        if not change.empty:
            self._spelling.learn(change.target, self._seen[1])
        return self._spelling.corrected(self._seen[1])

    def _apply(self, change: RulesetChange) -> _Seen:
        """On the session's thread."""
        before = self._read(self._seen)
        if self._spelling.corrected(before[1]) != change.base:
            raise RulesetMoved("the table is not the one that the change was computed from")
        if change.empty:
            return before
        try:
            self._session.run_now(codec.commands(change.operations))
        except FirewallRejected as error:
            if self._spelling.corrected(self._read(before)[1]) != change.base:
                raise RulesetMoved("the table changed while it was being written") from error
            raise
        return self._read(None)

    async def sweep(self) -> None:
        """Delete the table."""
        if await self._session.inet_table(codec.TABLE) is None:
            return
        try:
            await self._session.run([_DELETE])
        except FirewallRejected as error:
            if _ABSENT not in str(error):
                raise

    async def poll_revision(self) -> object:
        """None: every commit is announced over netlink."""
        return None

    def _read(self, known: _Seen | None) -> _Seen:
        """On the session's thread: list the table, unless the kernel's ruleset is still the known one."""
        generation = self._session.generation_now()  # before listing: what is listed is at least as new
        if known is not None and known[0] == generation:
            return known
        return generation, self._list()

    def _list(self) -> Ruleset:
        table = self._session.inet_table_now(codec.TABLE)
        if table is None:
            return EMPTY
        if table.dormant:
            # Not listed at all: it does nothing, libnftables 1.0.6 would crash, and it will be made anew anyway.
            return Ruleset(foreign=("the dormant flag",), exists=True)
        try:
            return self._reader.read()
        except FirewallRejected as error:
            if _ABSENT in str(error):  # deleted since we asked
                return EMPTY
            raise
