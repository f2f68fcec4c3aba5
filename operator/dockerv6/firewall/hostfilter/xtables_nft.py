"""The host filter as iptables-nft keeps it: table `ip6 filter`, read through nftables, written by ip6tables itself.

Reading spawns nothing. The accept rule is inserted by `ip6tables-nft-restore`, because the table belongs to
iptables-nft and has to stay readable for it; deleting goes by the rule's handle.
"""

import subprocess
from collections.abc import Awaitable, Callable

from dockerv6.firewall.hostfilter import listing
from dockerv6.firewall.hostfilter.chains import COMMENT, FORWARD, TABLE, USER, Chains, admits, mark_match
from dockerv6.firewall.nftables.codec import Object
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected, FirewallUnavailable

FAMILY = "ip6"
PROGRAM = "ip6tables-nft-restore"
_TIMEOUT = 30.0
"""Seconds. The program waits for the kernel only."""


class NftTables:
    """`ip6 filter`, under iptables-nft's names."""

    def __init__(self, session: NftSession, call: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        """Read through the session; `call` runs what blocks."""
        self._session = session
        self._call = call

    async def read(self, mark: int, listed: tuple[listing.ListedChain, ...]) -> Chains:
        """FORWARD and DOCKER-USER, as far as they are among the chains `listed`."""
        there = {each.name for each in listed if (each.family, each.table) == (FAMILY, TABLE)}
        return {name: listing.chain(await self._list(name), name, mark) for name in (FORWARD, USER) if name in there}

    async def admit(self, chain: str, mark: int) -> None:
        """Insert the accept rule unless it is there and reached; older copies go."""
        items = await self._list(chain)
        if admits(listing.chain(items, chain, mark).rules):
            return
        await self._restore(f"-I {chain}", mark)
        fresh = await self._list(chain)
        if not admits(listing.chain(fresh, chain, mark).rules):
            await self._restore(f"-D {chain}", mark)
            raise FirewallRejected(
                f"{PROGRAM} wrote the accept rule into {chain} in a form that nftables can't show (xt match): "
                "update iptables to 1.8.8 or newer"
            )
        await self._delete(chain, listing.handles(items, chain, mark))

    async def withdraw(self, chain: str, mark: int) -> None:
        """Delete the accept rule, every copy of it."""
        await self._delete(chain, listing.handles(await self._list(chain), chain, mark))

    async def _list(self, chain: str) -> list[Object]:
        command: Object = {"list": {"chain": {"family": FAMILY, "table": TABLE, "name": chain}}}
        try:
            return await self._session.run([command])
        except FirewallRejected as error:
            if "No such file or directory" in str(error):
                return []
            raise

    async def _delete(self, chain: str, handles: tuple[int, ...]) -> None:
        if handles:
            where: Object = {"family": FAMILY, "table": TABLE, "chain": chain}
            await self._session.run([{"delete": {"rule": {**where, "handle": each}}} for each in handles])

    async def _restore(self, command: str, mark: int) -> None:
        rule = f'-m mark --mark {mark_match(mark)} -m comment --comment "{COMMENT}" -j ACCEPT'
        await self._call(lambda: _run(f"*{TABLE}\n{command} {rule}\nCOMMIT\n"))


def _run(text: str) -> None:
    try:
        done = subprocess.run(
            (PROGRAM, "--noflush", "--wait"), input=text, capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except FileNotFoundError:
        raise FirewallUnavailable(
            f"{PROGRAM} is not installed, but table ip6 filter is iptables-nft's and drops forwarded packets: "
            "apt install iptables"
        ) from None
    if done.returncode != 0:
        raise FirewallRejected(f"{PROGRAM}: {done.stderr.strip() or f'exit code {done.returncode}'}")
