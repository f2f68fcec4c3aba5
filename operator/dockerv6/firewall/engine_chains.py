"""Where the engine has its own chains: without them, it can neither create networks nor publish ports.

Engines with iptables add rules to the chain `DOCKER` of the tables nat and filter, of IPv4 and, if `ip6tables` is on,
of IPv6. They create it when they start and when firewalld reloads, and at no other time (moby, libnetwork,
setupIPChains).
Engine 29's nftables backend has tables of its own. Nothing here spawns a process or loads a table.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from dockerv6.firewall.nftables.foreign import NftChain, list_chains_now
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.walk.remedies import ENGINE_TABLE
from dockerv6.firewall.xtables import legacy
from dockerv6.firewall.xtables.rule import FILTER, NAT

CHAIN = "DOCKER"

_TABLES = frozenset({NAT, FILTER})
_FAMILIES = {"ip": legacy.IPV4, "ip6": legacy.IPV6}
_CHAIN_HEAD = b"ERROR".ljust(29, b"\0") + b"\0"  # name and revision of the target that begins a user's chain
_NAME_LENGTH = 30


@dataclass(slots=True)
class EngineTables:
    """Finds the engine's chains again and again, with one request while nobody changes the packet filter."""

    session: NftSession
    _nftables: tuple[int, frozenset[str]] | None = None  # of which generation

    async def read(self) -> frozenset[str]:
        """As `read`."""
        return await self.session.call(lambda: self._in_nftables() | _in_legacy())

    def _in_nftables(self) -> frozenset[str]:
        try:
            generation = self.session.generation_now()
        except FirewallUnavailable:
            return _engine_tables(list_chains_now(self.session))  # none without nf_tables, else the same error
        if self._nftables is None or self._nftables[0] != generation:
            self._nftables = generation, _engine_tables(list_chains_now(self.session))
        return self._nftables[1]


async def read(session: NftSession) -> frozenset[str]:
    """The tables that have the engine's chains, such as "ip nat", in either variant of xtables; "ip docker-bridges".

    Raises:
        FirewallUnavailable, FirewallRejected: they can't be read.
    """
    return await EngineTables(session).read()


def _engine_tables(chains: Iterable[NftChain]) -> frozenset[str]:
    return frozenset(
        f"{each.family} {each.table}"
        for each in chains
        if each.table == ENGINE_TABLE or (each.family in _FAMILIES and each.table in _TABLES and each.name == CHAIN)
    )


def _in_legacy() -> frozenset[str]:
    return frozenset(
        f"{name} {table}"
        for name, family in _FAMILIES.items()
        for table in _TABLES & legacy.used_tables(family)
        if CHAIN in chain_names(legacy.LegacyReader(family).raw(table).data)
    )


def chain_names(entries: bytes) -> frozenset[str]:
    """The names of the user-defined chains in a table, as the kernel describes it (xt_error_target)."""
    found, at = set(), entries.find(_CHAIN_HEAD)
    while at >= 0:
        start = at + len(_CHAIN_HEAD)
        name = entries[start : start + _NAME_LENGTH].partition(b"\0")[0]
        found.add(name.decode(errors="surrogateescape"))
        at = entries.find(_CHAIN_HEAD, start + _NAME_LENGTH)
    return frozenset(found)
