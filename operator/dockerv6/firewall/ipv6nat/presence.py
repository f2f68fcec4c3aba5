"""docker-ipv6nat on this host, found and removed: the part that reads and writes."""

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dockerv6.firewall.ipv6nat.rules import FilterTables, IPv6NatRules, find_rules, is_signature
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.nftables.commands import delete_foreign_chain, delete_foreign_rule
from dockerv6.firewall.nftables.foreign import list_chains
from dockerv6.firewall.nftables.kernel import NftMessage
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.xtables import libiptc, nft
from dockerv6.firewall.xtables.legacy import LegacyReader
from dockerv6.firewall.xtables.rule import FILTER, NAT, XtablesChain

NAME = "docker-ipv6nat"
"""Also in /proc/PID/comm (15 bytes at most); the image's start script replaces itself by it."""

_POSTROUTING = "POSTROUTING"
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class IPv6NatPresence:
    """docker-ipv6nat on a host: its rules, its process, or both.

    Attributes:
        rules: by variant of xtables; empty where it runs and all its rules could be an engine's.
        processes: ids of its processes; it may run in a container whose processes can't be seen from here.
    """

    rules: tuple[IPv6NatRules, ...]
    processes: tuple[int, ...] = ()

    @property
    def engine_rules(self) -> bool:
        """Whether the engine's own IPv6 rules are on beside it: it emptied their chains when it started."""
        return any(each.engine_rules for each in self.rules)

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each rule and chain that `remove` removes."""
        rules = [f"{found.variant}: -t {rule.table} {rule}" for found in self.rules for rule in found.rules]
        chains = [f"{found.variant}: -t {table} -N {name}" for found in self.rules for table, name in found.chains]
        return (*rules, *chains)

    @property
    def summary(self) -> str:
        """What was found, in one line."""
        count = sum(len(each.rules) for each in self.rules)
        variants = " and ".join(each.variant for each in self.rules)
        networks = ", ".join(sorted({bridge for each in self.rules for bridge in each.networks}))
        left = f"{count} {'rule' if count == 1 else 'rules'} in {variants} for {networks}"
        if not self.processes:
            return f"{NAME} is not seen running but left {left}, which still translate packets"
        ids, holds = ", ".join(map(str, self.processes)), f" with {left}" if self.rules else ""
        return f"{NAME} is running (process {ids}){holds}: it translates the same packets as dockerv6"

    @property
    def message(self) -> str:
        """The summary with the remedy, for a condition or an event."""
        return f"{self.summary}; `dockerv6 doctor` lists the steps of a migration"


async def detect(session: NftSession) -> IPv6NatPresence | None:
    """Find docker-ipv6nat in this network namespace: its rules in both variants of xtables, and its process.

    Spawns nothing, and makes no table by reading. All rules are read only where its signature is: beside an engine with
    400 networks this takes 15 ms instead of 200.

    Raises:
        FirewallUnavailable, FirewallRejected: the rules can't be read.
    """
    found = [await _detect_nft(session), await asyncio.to_thread(_detect_legacy)]  # repairs need the session's thread
    rules = tuple(each for each in found if each is not None)
    processes = await asyncio.to_thread(running_processes)
    return IPv6NatPresence(rules, processes) if rules or processes else None


async def _detect_nft(session: NftSession) -> IPv6NatRules | None:
    listed = await list_chains(session)
    hint = await nft.read_chains(session, nft.FAMILY, NAT, _POSTROUTING, listed=listed)
    if not any(is_signature(each) for chain in hint.values() for each in chain.rules):
        return None
    chains: dict[tuple[str, str], XtablesChain] = {}
    for table in (NAT, FILTER):
        chains |= await nft.read_chains(session, nft.FAMILY, table, listed=listed)
    return find_rules(chains, FilterVariant.XTABLES_NFT)


def _detect_legacy() -> IPv6NatRules | None:
    reader = LegacyReader()
    hint = reader.read(NAT).chains(NAT, _POSTROUTING)
    if not any(is_signature(each) for chain in hint.values() for each in chain.rules):
        return None
    chains: FilterTables = {
        (table, name): chain for table in (FILTER, NAT) for name, chain in reader.read(table).chains(table).items()
    }
    return find_rules(chains, FilterVariant.XTABLES_LEGACY)


async def remove(session: NftSession, presence: IPv6NatPresence) -> None:
    """Remove its rules and chains: of iptables-nft in one transaction, of iptables-legacy in one for each table.

    Raises:
        FirewallRejected: the rules changed since they were found; try again.
        FirewallBusy: another process holds the lock of xtables, or keeps changing the tables without it.
        FirewallUnavailable: not permitted.
    """
    for each in presence.rules:
        if each.variant is FilterVariant.XTABLES_NFT:
            await session.run(_deletions(each))
        else:
            await asyncio.to_thread(_remove_legacy, each)


def _deletions(found: IPv6NatRules) -> list[NftMessage]:
    rules = [delete_foreign_rule(each.table, each.chain, each.handle) for each in found.rules]
    return [*rules, *(delete_foreign_chain(table, name) for table, name in found.chains)]


def _remove_legacy(found: IPv6NatRules) -> None:
    for name in sorted({each.table for each in found.rules}):
        libiptc.write(partial(_remove_from_table, name, found))


def _remove_from_table(name: str, found: IPv6NatRules) -> None:
    with libiptc.opened(name) as table:
        for each in found.rules:
            if each.table == name:
                libiptc.delete(table, each.chain, each.entry)
        for chain_table, chain in found.chains:
            if chain_table == name:
                table.delete_chain(chain)
        libiptc.commit(table)


def running_processes(proc: Path = _PROC) -> tuple[int, ...]:
    """Ids of docker-ipv6nat's processes in the calling thread's network namespace, as far as /proc shows them."""
    home = _network(proc / "thread-self")
    numbered = (entry for entry in proc.iterdir() if entry.name.isdecimal())
    return tuple(sorted(int(each.name) for each in numbered if _command(each) == NAME and _network(each) == home))


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
    except OSError:  # it has ended
        return ""


def _network(process: Path) -> int | None:
    """An id of the network namespace, without the privilege to trace the process, which reading its ns/net needs.

    Every namespace has files of its own below /proc/PID/net (fs/proc/proc_net.c).
    """
    try:
        return (process / "net/dev").stat().st_ino
    except OSError:
        return None
