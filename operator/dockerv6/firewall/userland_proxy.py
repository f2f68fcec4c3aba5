"""Whether the engine runs a userland proxy, by the IPv4 rules that it writes; for `dockerv6 doctor`.

With a proxy, its rules leave out 127.0.0.0/8, where the proxy listens; without one they translate that too (20.10 to
28.5).
"""

from pathlib import Path

from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.xtables import libiptc, nft
from dockerv6.firewall.xtables.rule import NAT, ChainTarget

NAMES = Path("/proc/thread-self/net/ip_tables_names")
"""The legacy IPv4 tables of this thread's network namespace that a program has used; reading another would make it."""

_OUTPUT = "OUTPUT"
_ENGINE_CHAIN = "DOCKER"


async def in_use(session: NftSession) -> bool | None:
    """Whether there is one; None: not known, the engine has written no such rule.

    Spawns nothing and makes no table. Raises `FirewallRejected`.
    """
    try:
        chain = await nft.read_chain(session, "ip", NAT, _OUTPUT)
    except FirewallUnavailable:  # no nf_tables: nothing is in it
        chain = None
    for each in chain.rules if chain is not None else ():
        if each.rule.target == ChainTarget(_ENGINE_CHAIN, jump=True):
            return bool(each.rule.destination)
    return await session.call(_in_use_legacy)


def _in_use_legacy() -> bool | None:
    try:
        if NAT not in NAMES.read_text(encoding="ascii").split():
            return None
    except OSError:  # a kernel without ip_tables
        return None
    iptc = libiptc.library()
    from iptc.easy import decode_iptc_rule  # noqa: PLC0415 - heavy, and few hosts need it

    try:
        with libiptc.locked():
            table = iptc.Table(NAT, autocommit=False)
            rules = [decode_iptc_rule(rule) for rule in iptc.Chain(table, _OUTPUT).rules]
            table.close()
    except iptc.IPTCError:
        return None
    finally:  # what is closed must not stay in the library's caches (see `libiptc.opened`)
        iptc.Table._cache.clear()  # noqa: SLF001 - the library has no other way
        iptc.Chain._cache.clear()  # noqa: SLF001 - as above
    return next(("dst" in rule for rule in rules if rule.get("target") == _ENGINE_CHAIN), None)
