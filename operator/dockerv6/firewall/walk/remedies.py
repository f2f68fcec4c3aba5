"""What an administrator has to do so that a flow passes what drops it: commands that can be pasted, one a line. Pure.

Where our mark is on the packet, the accept rule for the mark is the remedy: it opens nothing but what our rules allow.
In other hooks, and before our chain has set the mark, the remedy accepts the flow by what it can be recognised by.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import NamedTuple

from dockerv6.firewall.model import FilterVariant
from dockerv6.firewall.nftables.commands import FAMILY, TABLE
from dockerv6.firewall.walk.evaluator import FORWARD
from dockerv6.firewall.walk.loads import number
from dockerv6.firewall.walk.packet import TCP, UDP, Flow, Packet, Tracking
from dockerv6.firewall.walk.verdicts import FilterPlace
from dockerv6.firewall.xtables.rule import FILTER, OWN_CHAIN_PREFIX
from dockerv6.lib.text import shell_quoted

ENGINE_TABLE = "docker-bridges"
"""Engine 29's table with `--firewall-backend=nftables`, in the families ip and ip6."""

_FIREWALLD = "firewalld"
_MARKED = range(100)
"""Priorities in the forward hook between our chain that sets the mark and the one that clears it."""

_PROTOCOLS = {TCP: "tcp", UDP: "udp", 132: "sctp"}
_PROGRAMS = {FilterVariant.XTABLES_NFT: "ip6tables-nft", FilterVariant.XTABLES_LEGACY: "ip6tables-legacy"}


@dataclass(frozen=True, slots=True)
class Remedy:
    """Commands, and a sentence about keeping their effect."""

    commands: tuple[str, ...] = ()
    keeping: str = ""


def is_ours(place: FilterPlace) -> bool:
    """Whether the rule is our own, in either backend."""
    return (place.family, place.table) == (FAMILY, TABLE) or place.chain.startswith(OWN_CHAIN_PREFIX)


def remedy(place: FilterPlace, packet: Packet, flow: Flow, mark: int) -> Remedy:
    """What lets the packet of the flow pass at that place."""
    if is_ours(place):
        return Remedy((), "this is dockerv6's own rule: see `dockerv6 describe`")
    if place.table == ENGINE_TABLE:
        return Remedy(
            (),
            f'set "bridge-accept-fwmark": "{mark:#x}/{mark:#x}" in /etc/docker/daemon.json '
            f"(dockerd --bridge-accept-fwmark={mark:#x}/{mark:#x}), then restart the engine",
        )
    if place.table == _FIREWALLD and place.hook == FORWARD:
        bridge = shell_quoted(_bridge(packet, flow))
        return Remedy(
            (f"firewall-cmd --permanent --zone=trusted --change-interface={bridge}", "firewall-cmd --reload"),
            "--permanent keeps it",
        )
    if place.variant in _PROGRAMS:
        program = _PROGRAMS[FilterVariant(place.variant)]
        if place.table == FILTER and _is_marked(place, packet, mark):
            conditions = _marked_of_bridge(_bridge(packet, flow), mark)
        else:
            conditions = _conditions(place, packet, flow, mark, _XTABLES)
        commands = tuple(f"{program} -t {place.table} -I {place.base} {each} -j ACCEPT" for each in conditions)
        return Remedy(commands, "save the rules as this host does, so that they are there after a restart")
    where = f"{place.family} {shell_quoted(place.table)} {shell_quoted(place.base)}"
    commands = tuple(f"nft insert rule {where} {each} accept" for each in _conditions(place, packet, flow, mark, _NFT))
    keeping = "add the same to the file that the table comes from (such as /etc/nftables.conf), so that it stays"
    return Remedy(commands, keeping)


def _is_marked(place: FilterPlace, packet: Packet, mark: int) -> bool:
    bit = number(mark).data
    return packet.mark.masked(bit, b"").equals(bit) is not False and place.hook == FORWARD and place.priority in _MARKED


def _bridge(packet: Packet, flow: Flow) -> str:
    if flow.iif and flow.subnet is not None and flow.source in flow.subnet:
        return flow.iif
    link = packet.iif if packet.reply else packet.oif or packet.iif
    return link.name if link is not None else ""


def _marked_of_bridge(bridge: str, mark: int) -> Iterator[str]:
    """What is marked, of one network, in both directions.

    A rule for the mark alone would be our accept rule, which is kept behind the host's drops (ADR 0051).
    """
    for direction in _XTABLES.interfaces:
        yield f"{direction} {shell_quoted(bridge)} {_XTABLES.mark.format(mark)}"


class _Words(NamedTuple):
    """How a language of rules spells conditions. `port` is a format: protocol, side and number."""

    mark: str
    established: str
    interfaces: tuple[str, str]
    addresses: tuple[str, str]
    port: str
    quote: Callable[[str], str]


_NFT = _Words(
    "meta mark and {0:#x} == {0:#x}",
    "ct state established,related",
    ("iifname", "oifname"),
    ("ip6 saddr", "ip6 daddr"),
    "{0} {1} {2}",
    lambda name: shell_quoted(f'"{name}"'),
)
_XTABLES = _Words(
    "-m mark --mark {0:#x}/{0:#x}",
    "-m conntrack --ctstate ESTABLISHED,RELATED",
    ("-i", "-o"),
    ("-s", "-d"),
    "-p {0} -m {0} --{1} {2}",
    shell_quoted,
)


def _conditions(place: FilterPlace, packet: Packet, flow: Flow, mark: int, words: _Words) -> Iterator[str]:
    """The conditions of each rule that is needed."""
    if _is_marked(place, packet, mark):
        yield words.mark.format(mark)
        return
    if packet.tracking is Tracking.TRACKED:
        yield words.established
        if packet.reply:
            return
    found = [f"{key} {words.quote(value)}" for key, value in _interfaces(packet, words.interfaces)]
    found += [f"{key} {value}" for key, value in _addresses(packet, flow, words.addresses)]
    yield " ".join([*found, *(words.port.format(*each) for each in _ports(packet, flow))])


def _interfaces(packet: Packet, keys: tuple[str, str]) -> Iterator[tuple[str, str]]:
    for key, link in zip(keys, (packet.iif, packet.oif), strict=True):
        if link is not None:
            yield key, link.name


def _addresses(packet: Packet, flow: Flow, keys: tuple[str, str]) -> Iterator[tuple[str, str]]:
    for key, address in zip(keys, (packet.source, packet.destination), strict=True):
        if flow.subnet is not None and address.exact and IPv6Address(address.data) in flow.subnet:
            yield key, str(flow.subnet)


def _ports(packet: Packet, flow: Flow) -> Iterator[tuple[str, str, int]]:
    """The port, where the packet does not have an address of the network's."""
    if flow.protocol in _PROTOCOLS and not any(_addresses(packet, flow, ("", ""))):
        ends = packet.endpoints
        side, port = ("sport", ends.sport) if packet.reply else ("dport", ends.dport)
        if port.exact:
            yield _PROTOCOLS[flow.protocol], side, int.from_bytes(port.data, "big")
