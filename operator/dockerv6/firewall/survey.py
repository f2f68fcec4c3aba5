"""What an engine has written into this host's packet filter: through which variant of xtables, and for which proxy.

For people who ask what is going on; nothing that dockerv6 does depends on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from warnings import catch_warnings, simplefilter

from dockerv6.firewall.hostfilter import listing
from dockerv6.firewall.iptables import specs
from dockerv6.firewall.iptables.kernel import Tables
from dockerv6.firewall.iptables.lock import locked
from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.nftables.codec import Json, Object
from dockerv6.firewall.nftables.session import NftSession

NAMES_V4 = Path("/proc/thread-self/net/ip_tables_names")
"""As `kernel.NAMES`, for IPv4."""

_TABLES = ("filter", "nat")
_NATIVE = "docker-bridges"
_CHAINS: Object = {"list": {"chains": None}}
_OUTPUT_V4: Object = {"list": {"chain": {"family": "ip", "table": "nat", "name": "OUTPUT"}}}


@dataclass(frozen=True, slots=True)
class Survey:
    """An engine's traces.

    Attributes:
        chains: the engine's IPv6 chains (or docker-ipv6nat's, which are named alike), by what they are written in.
        userland_proxy: whether the engine runs a proxy for published ports, by its IPv4 rules (20.10 to 28.5): without
            one, those hold for the host's loopback addresses too. None: no such rule, so nothing can be told.
    """

    chains: Mapping[FilterVariant, tuple[str, ...]] = field(default_factory=dict)
    userland_proxy: bool | None = None


async def survey(session: NftSession) -> Survey:
    """Look. Spawns nothing and makes no table. Raises `FirewallUnavailable`, `FirewallRejected`."""
    listed = listing.chains(await session.run([_CHAINS]))
    chains: dict[FilterVariant, tuple[str, ...]] = {}
    if named := tuple(f"{c.table} {c.name}" for c in listed if c.family == "ip6" and _engines(c.table, c.name)):
        chains[FilterVariant.XTABLES_NFT] = named
    if legacy := await session.call(_legacy_chains):
        chains[FilterVariant.XTABLES_LEGACY] = legacy
    if native := tuple(f"{c.table} {c.name}" for c in listed if (c.family, c.table) == ("ip6", _NATIVE)):
        chains[FilterVariant.NFTABLES] = native
    has_output = any((c.family, c.table, c.name) == ("ip", "nat", "OUTPUT") for c in listed)
    proxy = _proxy(await session.run([_OUTPUT_V4])) if has_output else None
    return Survey(chains, await session.call(_legacy_proxy) if proxy is None else proxy)


def _engines(table: str, chain: str) -> bool:
    return table in _TABLES and (chain == "DOCKER" or chain.startswith("DOCKER-"))


def _legacy_chains() -> tuple[str, ...]:
    tables = Tables()
    return tuple(
        f"{table} {chain}"
        for table in _TABLES
        for chain in tables.read(table).chains()
        if _engines(table, chain) and not chain.startswith(specs.PREFIX)
    )


def _proxy(items: list[Object]) -> bool | None:
    """Whether the jump to DOCKER leaves out 127.0.0.0/8, where a proxy listens."""
    for item in items:
        rule = item.get("rule")
        expressions = rule.get("expr", []) if isinstance(rule, Mapping) else []
        said = [each for each in expressions if isinstance(each, Mapping)] if isinstance(expressions, list) else []
        if any(_jumps(each.get("jump")) for each in said):
            return any("match" in each for each in said)
    return None


def _jumps(body: Json) -> bool:
    return isinstance(body, Mapping) and body.get("target") == "DOCKER"


def _legacy_proxy() -> bool | None:
    try:
        if "nat" not in NAMES_V4.read_text(encoding="ascii").split():
            return None
    except OSError:  # a kernel without ip_tables
        return None
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)  # python-iptables 1.2.0 asks distutils first where there is one
        from iptc import IPTCError, easy  # noqa: PLC0415 - 13 MB, and few hosts need it
    try:
        with locked():
            rules = easy.dump_chain("nat", "OUTPUT")
    except IPTCError:
        return None
    for rule in rules:
        if rule.get("target") == "DOCKER":
            return "dst" in rule
    return None
