"""`FirewallBackend` on nftables: one table of our own, committed as one transaction and read back."""

from functools import partial

from dockerv6.firewall.nftables import commands
from dockerv6.firewall.nftables.reader import TableReader
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected, RulesetMoved
from dockerv6.firewall.ruleset import Ruleset, RulesetChange

_LAST_GENERATION = 2**32 - 1  # the kernel goes on with 1


class NftablesFirewall:
    """Table `inet dockerv6`.

    The table is ours by its name: whatever else it holds is drift and is removed, and a table of that
    name without our comment is taken over. A mark in the table would not help: a backup that is restored with
    `nft -f` may lack it.

    An observation is kept together with the kernel's generation, and returned again as long as that stands. A resync
    that finds nothing changed costs one small netlink message, however many networks there are.
    """

    def __init__(self, session: NftSession) -> None:
        """Work through a session, which the caller closes."""
        self._session = session
        self._reader = TableReader(session)
        self._observed: tuple[int, Ruleset] | None = None  # with the kernel's generation

    @property
    def backend(self) -> str:
        """The backend's name."""
        return "nftables"

    @property
    def matches_link_kinds(self) -> bool:
        """Rules match on it with `meta iifkind` and `meta oifkind`."""
        return True

    @property
    def generation(self) -> int | None:
        """The generation that the latest observation is at least as new as."""
        return self._observed[0] if self._observed is not None else None

    async def close(self) -> None:
        """The caller closes the session."""

    async def observe(self) -> Ruleset:
        """What the table holds now."""
        return await self._session.call(self._observe)

    async def check(self, change: RulesetChange) -> None:
        """Let the kernel judge the transaction without committing it."""
        if not change.empty:
            await self._session.run(commands.commands(change.operations), check=True)

    async def apply(self, change: RulesetChange) -> Ruleset:
        """Commit, and read back."""
        return await self._session.call(partial(self._apply, change))

    async def sweep(self) -> None:
        """Delete the table."""
        if await self._session.inet_table(commands.TABLE) is None:
            return
        try:
            await self._session.run([commands.delete_table()])
        except FirewallRejected:
            if await self._session.inet_table(commands.TABLE) is not None:
                raise

    async def poll_revision(self) -> object:
        """None: the kernel announces every commit over netlink."""
        return None

    def _observe(self) -> Ruleset:
        """On the session's thread."""
        if self._observed is None or self._observed[0] != self._session.generation_now():
            self._observed = self._reader.read()
        return self._observed[1]

    def _apply(self, change: RulesetChange) -> Ruleset:
        """On the session's thread."""
        if self._observe() != change.base:
            raise RulesetMoved("the table is not the one that the change was computed from")
        if change.empty:
            return change.base
        before = self.generation or 0
        try:
            self._session.run_now(commands.commands(change.operations))
        except FirewallRejected as error:
            if self._observe() != change.base:
                raise RulesetMoved("the table changed while it was being written") from error
            raise
        self._observed = self._reader.read(own_commit=before % _LAST_GENERATION + 1)
        return self._observed[1]
