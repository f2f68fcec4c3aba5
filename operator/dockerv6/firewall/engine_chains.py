"""Where the engine has its own chains: without them, it can neither create networks nor publish ports.

Engines with iptables add rules to the chain `DOCKER` of the tables nat and filter, of IPv4 and, if `ip6tables` is on,
of IPv6. They create it when they start and when firewalld reloads, and at no other time (moby, libnetwork,
setupIPChains).
Engine 29's nftables backend has tables of its own. Nothing here spawns a process or loads a table.
"""

from dockerv6.firewall.nftables.foreign import list_chains
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.walk.remedies import ENGINE_TABLE
from dockerv6.firewall.xtables import legacy
from dockerv6.firewall.xtables.rule import FILTER, NAT

CHAIN = "DOCKER"

_TABLES = (NAT, FILTER)
_FAMILIES = {"ip": legacy.IPV4, "ip6": legacy.IPV6}
_CHAIN_HEAD = b"ERROR".ljust(29, b"\0") + b"\0"  # name and revision of the target that begins a user's chain
_NAME_LENGTH = 30


async def read(session: NftSession) -> frozenset[str]:
    """The tables that have the engine's chains, such as "ip nat", in either variant of xtables; "ip docker-bridges".

    Raises:
        FirewallUnavailable, FirewallRejected: they can't be read.
    """
    found: set[str] = set()
    for each in await list_chains(session):
        xtables = each.family in _FAMILIES and each.table in _TABLES and each.name == CHAIN
        if xtables or each.table == ENGINE_TABLE:
            found.add(f"{each.family} {each.table}")
    return frozenset(found | await session.call(_in_legacy))


def _in_legacy() -> set[str]:
    readers = {name: legacy.LegacyReader(family) for name, family in _FAMILIES.items()}
    return {
        f"{family} {table}"
        for family, reader in readers.items()
        for table in _TABLES
        if CHAIN in chain_names(reader.raw(table).data)
    }


def chain_names(entries: bytes) -> frozenset[str]:
    """The names of the user-defined chains in a table, as the kernel describes it (xt_error_target)."""
    found, at = set(), entries.find(_CHAIN_HEAD)
    while at >= 0:
        start = at + len(_CHAIN_HEAD)
        name = entries[start : start + _NAME_LENGTH].partition(b"\0")[0]
        found.add(name.decode(errors="surrogateescape"))
        at = entries.find(_CHAIN_HEAD, start + _NAME_LENGTH)
    return frozenset(found)
