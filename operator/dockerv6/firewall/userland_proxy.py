"""Whether the engine runs a userland proxy, by the IPv4 rules that it writes; for people who ask.

With a proxy they leave out 127.0.0.0/8, where it listens; without one they hold there as well (20.10 to 28.5).
"""

from collections.abc import Mapping
from pathlib import Path
from warnings import catch_warnings, simplefilter

from dockerv6.firewall.hostfilter import listing
from dockerv6.firewall.nftables.codec import Json, Object
from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.xtables.libiptc import locked

NAMES = Path("/proc/thread-self/net/ip_tables_names")
"""The legacy IPv4 tables of this thread's network namespace that somebody has used; looking at one would make it."""

_CHAIN = "DOCKER"
_CHAINS: Object = {"list": {"chains": None}}
_OUTPUT: Object = {"list": {"chain": {"family": "ip", "table": "nat", "name": "OUTPUT"}}}


async def in_use(session: NftSession) -> bool | None:
    """Whether there is one; None: the engine has written no such rule, so nothing can be told.

    Spawns nothing and makes no table. Raises `FirewallRejected`.
    """
    try:
        listed = listing.chains(await session.run([_CHAINS]))
    except FirewallUnavailable:  # no nf_tables: nothing is in it
        listed = ()
    if any((each.family, each.table, each.name) == ("ip", "nat", "OUTPUT") for each in listed):
        found = _by_nft(await session.run([_OUTPUT]))
        if found is not None:
            return found
    return await session.call(_by_legacy)


def _by_nft(items: list[Object]) -> bool | None:
    for item in items:
        rule = item.get("rule")
        expressions = rule.get("expr", []) if isinstance(rule, Mapping) else []
        said = [each for each in expressions if isinstance(each, Mapping)] if isinstance(expressions, list) else []
        if any(_jumps(each.get("jump")) for each in said):
            return any("match" in each for each in said)
    return None


def _jumps(body: Json) -> bool:
    return isinstance(body, Mapping) and body.get("target") == _CHAIN


def _by_legacy() -> bool | None:
    try:
        if "nat" not in NAMES.read_text(encoding="ascii").split():
            return None
    except OSError:  # a kernel without ip_tables
        return None
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)  # python-iptables 1.2.0 asks distutils first where there is one
        import iptc  # noqa: PLC0415 - 13 MB, and few hosts need it
        from iptc.easy import decode_iptc_rule  # noqa: PLC0415 - as above
    try:
        with locked():
            table = iptc.Table(iptc.Table.NAT, autocommit=False)
            rules = [decode_iptc_rule(rule) for rule in iptc.Chain(table, "OUTPUT").rules]
            table.close()
    except iptc.IPTCError:
        return None
    finally:  # or the library would go on asking what is closed (see iptables.handles)
        iptc.Table._cache.clear()  # noqa: SLF001 - the library has no other way
        iptc.Chain._cache.clear()  # noqa: SLF001 - as above
    return next(("dst" in rule for rule in rules if rule.get("target") == _CHAIN), None)
