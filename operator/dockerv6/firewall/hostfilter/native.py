"""Base chains in nftables' own tables that drop what we forward. We never write there: only the user can mend them."""

from dockerv6.firewall.hostfilter import listing, xtables_nft
from dockerv6.firewall.hostfilter.chains import FORWARD, TABLE, admits, drops
from dockerv6.firewall.model import Barrier, FilterVariant
from dockerv6.firewall.nftables import codec
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected

_FAMILIES = frozenset({"inet", "ip6"})
_ENGINE = "docker-bridges"
_FIREWALLD = "firewalld"
_FIREWALLD_OPEN = frozenset({"filter_FWD_docker", "filter_FWD_trusted"})
"""firewalld's chain for a zone that is in use. The engine puts its bridges into zone docker, target ACCEPT, by itself
(20.10 and newer); people use zone trusted. Which interfaces are in a zone is beyond what needs to be read here."""


async def barriers(session: NftSession, mark: int, listed: tuple[listing.ListedChain, ...]) -> tuple[Barrier, ...]:
    """Every foreign base chain in the forward hook that drops by policy or by its last word."""
    found: list[Barrier] = []
    names = {each.name for each in listed if each.table == _FIREWALLD}
    for each in listed:
        if not _concerns(each):
            continue
        chain = listing.chain(await _list(session, each), each.name, mark)
        if drops(chain):
            admitted = admits(chain.rules) or (each.table == _FIREWALLD and bool(names & _FIREWALLD_OPEN))
            found.append(
                Barrier(
                    FilterVariant.NFTABLES,
                    f"{each.family} {each.table}",
                    each.name,
                    admitted=admitted,
                    mendable=False,
                    remedy=remedy(each, mark),
                )
            )
    return tuple(found)


def _concerns(chain: listing.ListedChain) -> bool:
    ours = (chain.family, chain.table) == (codec.FAMILY, codec.TABLE)
    xtables = (chain.family, chain.table, chain.name) == (xtables_nft.FAMILY, TABLE, FORWARD)
    return chain.family in _FAMILIES and chain.hook == "forward" and chain.type == "filter" and not ours and not xtables


async def _list(session: NftSession, chain: listing.ListedChain) -> list[codec.Object]:
    try:
        return await session.run(
            [{"list": {"chain": {"family": chain.family, "table": chain.table, "name": chain.name}}}]
        )
    except FirewallRejected:  # deleted since it was listed
        return []


def remedy(chain: listing.ListedChain, mark: int) -> str:
    """What a person has to do, to the letter."""
    if chain.table == _ENGINE:
        return (
            f'set "bridge-accept-fwmark": "{mark:#x}/{mark:#x}" in /etc/docker/daemon.json '
            f"(dockerd --bridge-accept-fwmark={mark:#x}/{mark:#x}) and restart the engine"
        )
    if chain.table == _FIREWALLD:
        return (
            "put the network's bridge into a zone that forwards: "
            "firewall-cmd --permanent --zone=trusted --add-interface=BRIDGE && firewall-cmd --reload"
        )
    return (
        f"nft insert rule {chain.family} {chain.table} {chain.name} meta mark and {mark:#x} == {mark:#x} accept, "
        "and the same in the file that the table comes from (/etc/nftables.conf)"
    )
