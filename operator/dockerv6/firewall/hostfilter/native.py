"""Base chains in nftables' own tables that drop what we forward. We never write there: only the user can mend them."""

from dockerv6.firewall.hostfilter import listing, xtables_nft
from dockerv6.firewall.hostfilter.chains import FORWARD, TABLE, admits, drops
from dockerv6.firewall.model import FilterVariant, ForwardDrop
from dockerv6.firewall.nftables import codec
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallRejected

_FAMILIES = frozenset({"inet", "ip6"})
_ENGINE = "docker-bridges"
_ENGINE_IN = "filter-forward-in__"
_FIREWALLD = "firewalld"
_FIREWALLD_OPEN = frozenset({"filter_FWD_docker", "filter_FWD_trusted"})
"""firewalld's chain for a zone that is in use. The engine puts its bridges into zone docker, target ACCEPT, by itself
(20.10 and newer); people use zone trusted. Which interfaces are in a zone is beyond what needs to be read here."""


async def barriers(session: NftSession, mark: int, listed: tuple[listing.ListedChain, ...]) -> tuple[ForwardDrop, ...]:
    """Every foreign base chain in the forward hook that drops by policy, by its last word, or by what it jumps to."""
    found: list[ForwardDrop] = []
    names = {each.name for each in listed if each.table == _FIREWALLD}
    for each in listed:
        if not _concerns(each):
            continue
        items = await _list(session, each)
        chains = [listing.chain(items, each.name, mark)]
        if each.table == _ENGINE:
            chains += [listing.chain(items, name, mark) for name in _into_bridges(items)]
        if dropping := [chain for chain in chains if drops(chain)]:
            admitted = all(admits(chain.rules) for chain in dropping)
            found.append(
                ForwardDrop(
                    FilterVariant.NFTABLES,
                    f"{each.family} {each.table}",
                    each.name,
                    has_accept_rule=admitted or (each.table == _FIREWALLD and bool(names & _FIREWALLD_OPEN)),
                    repairable=False,
                    remedy=remedy(each, mark),
                )
            )
    return tuple(found)


def _into_bridges(items: list[codec.Object]) -> list[str]:
    """The chains that engine 29's base chain sends packets to by the bridge that they leave by, one for each network.

    There it drops what is sent to no published port of its own, after what it accepts, which a mark may be.
    """
    return [each.name for each in listing.chains(items) if each.name.startswith(_ENGINE_IN)]


def _concerns(chain: listing.ListedChain) -> bool:
    ours = (chain.family, chain.table) == (codec.FAMILY, codec.TABLE)
    xtables = (chain.family, chain.table, chain.name) == (xtables_nft.FAMILY, TABLE, FORWARD)
    return chain.family in _FAMILIES and chain.hook == "forward" and chain.type == "filter" and not ours and not xtables


async def _list(session: NftSession, chain: listing.ListedChain) -> list[codec.Object]:
    """The chain; of the engine's own table, which has a chain for each network, the whole of it."""
    table: codec.Object = {"family": chain.family, "name": chain.table}
    alone: codec.Object = {"family": chain.family, "table": chain.table, "name": chain.name}
    try:
        return await session.run([{"list": {"table": table} if chain.table == _ENGINE else {"chain": alone}}])
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
