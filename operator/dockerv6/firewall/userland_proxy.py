"""Whether the engine runs a userland proxy, by the IPv4 rules that it writes; for `dockerv6 doctor`.

With a proxy, its rules leave out 127.0.0.0/8, where the proxy listens; without one they translate that too (20.10 to
28.5).
"""

from collections.abc import Iterator

from dockerv6.firewall.nftables.session import NftSession
from dockerv6.firewall.port import FirewallUnavailable
from dockerv6.firewall.xtables import nft
from dockerv6.firewall.xtables.entries import NAME_AT, OFFSETS, TARGET_HEAD, VERDICT
from dockerv6.firewall.xtables.legacy import IPV4, LegacyReader, LegacyTable
from dockerv6.firewall.xtables.rule import NAT, ChainTarget

_OUTPUT = "OUTPUT"
_ENGINE_CHAIN = "DOCKER"

_HEAD = 112
"""sizeof(struct ipt_entry), which begins with struct ipt_ip (linux/netfilter_ipv4/ip_tables.h)"""

_OFFSETS_AT = 88
_DESTINATION_MASK = slice(12, 16)


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
    return in_legacy(await session.call(lambda: LegacyReader(IPV4).raw(NAT)))


def in_legacy(table: LegacyTable) -> bool | None:
    """The same, from the legacy IPv4 table nat. Of its rules, only the engine's jump is looked for."""
    entries = tuple(_entries(table.data))
    # a chain begins behind the entry that has its name
    chains = {start + len(entry): name for start, entry in entries if (name := _chain_name(entry))}
    output = next(((first, policy) for name, first, policy in table.hooks if name == _OUTPUT), (0, 0))
    for start, entry in entries:
        if output[0] <= start < output[1] and chains.get(_jump(entry)) == _ENGINE_CHAIN:
            return any(entry[_DESTINATION_MASK])
    return None


def _entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The entries and where they are, up to the first that is damaged."""
    at = 0
    while at + _HEAD <= len(data):
        target, size = OFFSETS.unpack_from(data, at + _OFFSETS_AT)
        if not _HEAD + TARGET_HEAD.size <= target + TARGET_HEAD.size <= size <= len(data) - at:
            return
        yield at, data[at : at + size]
        at += size


def _target(entry: bytes) -> tuple[bytes, bytes]:
    """The name of the target, and what belongs to it."""
    at = OFFSETS.unpack_from(entry, _OFFSETS_AT)[0]
    return entry[at + NAME_AT : at + TARGET_HEAD.size].partition(b"\0")[0], entry[at + TARGET_HEAD.size :]


def _chain_name(entry: bytes) -> str:
    name, content = _target(entry)
    return content.partition(b"\0")[0].decode(errors="surrogateescape") if name == b"ERROR" else ""


def _jump(entry: bytes) -> int:
    """Where the entry jumps to; -1: nowhere."""
    name, content = _target(entry)
    return VERDICT.unpack_from(content)[0] if not name and len(content) >= VERDICT.size else -1
