"""Where the engine's own IPv6 chains are. Several places at once is what a change of `iptables` alternatives leaves."""

from dockerv6.firewall.hostfilter import listing
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.nftables.codec import Object
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.xtables.legacy import LegacyReader

_CHAINS: Object = {"list": {"chains": None}}
_PREFIX = "DOCKER"
_OURS = "DOCKERV6-"
_OWN_TABLE = "docker-bridges"
_TABLES = ("filter", "nat")


async def variants(session: NftSession) -> frozenset[FilterVariant]:
    """Every machinery that holds a chain of the engine's: `DOCKER…` in filter or nat, or table `ip6 docker-bridges`.

    Loads no table by looking. Raises `FirewallUnavailable` when it is not permitted.
    """
    found: set[FilterVariant] = set()
    try:
        listed = listing.chains(await session.run([_CHAINS]))
    except FirewallUnavailable:  # no nf_tables: nothing is in it
        listed = ()
    for each in listed:
        if each.family != "ip6":
            continue
        if each.table == _OWN_TABLE:
            found.add(FilterVariant.NFTABLES)
        elif each.table in _TABLES and _engines(each.name):
            found.add(FilterVariant.XTABLES_NFT)
    if await session.call(_in_legacy):
        found.add(FilterVariant.XTABLES_LEGACY)
    return frozenset(found)


def _in_legacy() -> bool:
    tables = LegacyReader()
    return any(_engines(name) for table in _TABLES for name in tables.read(table).entries())


def _engines(chain: str) -> bool:
    return chain.startswith(_PREFIX) and not chain.startswith(_OURS)
