"""From intent to ruleset. Pure; the only place that says what our table holds.

Sets and maps are looked up, never walked through: a packet costs the same with one network and one port as with
hundreds of networks and thousands of ports. What belongs to a network is keyed by its subnet or its bridge first, so a
network is only ever touched by its own elements. The one exception are prefix translations, which no map can hold: they
are rules, one a network and way, and only the first packet of a flow of such a network walks through them.

**prerouting, output** (nat, `dstnat - 1`: just before the engine's). A published port is two map elements, (protocol,
port) to address and to port; one that is bound to a single address has that in the key too. Only what is sent to one
of the host's own addresses is looked up. The container sees who calls from outside: nothing is done to the source. A
link-local one can't be routed any further: it is left to whoever listens on the host (RFC 4291, 2.5.6). Behind the
ports, what is sent to an external prefix, but not to an address of the host's own in it, goes to **prefix_in**. Of an
on-link prefix that is what is sent to containers' addresses alone, which have to be named: others on the link have
addresses in it too, and neither the host nor its containers would reach them.

**guard** (filter, prerouting, `mangle`: before any translation). A port with an allow-list is closed to everybody else,
whoever listens there: our translation, the engine's, its userland proxy, or a process of the host. Only packets in a
flow's original direction are judged, since the host itself may call out from that very port.

**loopback, loopback_back**. Who calls [::1] has ::1 as its source, which must not leave the host, and an answer that
were translated back to ::1 would be taken for a martian before any socket saw it (ip6_rcv; a route to ::1 is only
found on lo). So the source is exchanged, before connection tracking looks, for the address of the target's bridge, and
an answer's destination is exchanged back behind it, in the input hook, when routing is done.

**postrouting** (nat, `srcnat - 1`). The first NAT decision wins, and *accept is none*: the engine's MASQUERADE in the
next chain would still translate what we merely accepted. So "not translated" is said as a decision, `snat to ip6
saddr`: the packet keeps its source and no later NAT chain is asked. Within a network's own bridge only what came
through a published port is translated (hairpin: the target would answer the caller directly, which it never called).
Between networks it is translated too, as on IPv4: engines from 28.2 on drop answers to containers' own addresses.
`masquerade` is plain, without `random` or `fully-random`: a source port that is free is kept, which peers behind
strict firewalls and UDP applications rely on, and which is what the engine itself does.

What leaves where it is let goes through **translate**, by its network's egress mode. *Routed* is such a decision to
keep the source, which holds against the engine's MASQUERADE. *SNAT* takes the address that a map has for the subnet.
*PrefixTranslation* goes on to **prefix_out**, what is left is *Masquerade*. Where the mode lacks what it takes (an
address, a prefix), nothing is let out by us and nothing translated, as with *None*.

**Prefix translation is stateful here.** RFC 6296 (NPTv6) asks for a stateless one: every packet is rewritten by itself,
either way, with no memory, and one group of the address is adjusted so that checksums need not be (checksum-neutral,
3.1); behind a /64 that is in the host part. Flows survive a router's restart, and two routers can share the work.
netfilter has no such thing. `snat ip6 prefix to` and NETMAP exchange the prefix and keep all bits behind it: fd00::2 is
2001:db8::2 outside, to be told at sight; checksums are mended packet by packet, and errors' inner headers too. What is
alike: one to one, ports kept (but where two flows would be one), open both ways, no application-layer gateways. What
differs is that the decision is made at a flow's first packet and remembered by connection tracking, so that

* a changed external prefix applies to new flows. Established flows keep the previous prefix as long as it is routed
  here. It stays among the external prefixes, and leads in, for as long as it is valid (RFC 4862, 5.5.4).
* a flow that the host doesn't know (a reboot, a full table, a way out by one router and back by another) is a new one.
* what was let in is known, so closed is the default: an external address is no more open than the container's own.

**forward** (filter, `filter - 1`: just before everybody's filter) drops what must not pass, and a drop is final. An
accept could not overrule a drop in another base chain, so flows that we allow get one bit of the mark (the other bits
are other people's), and one rule in the host's filter accepts that bit.

* within (a bridge to itself: hairpin, and what br_netfilter shows of bridged traffic): allowed; where containers must
  not talk to one another (icc false), only published ports and neighbour discovery are.
* internal networks: nothing out, nothing in.
* out: from a managed subnet, arriving on that network's own bridge (so a spoofed source gains nothing), leaving where
  it is let: through the network's egress interfaces if it names any, else through anything that is not a bridge, or
  is a bridge known to lead outside. Every other bridge has containers or virtual machines behind it, whether we manage
  it or not, whether it was there when the ruleset was written or came later: a mark would open what the engine's
  isolation or libvirt closes. Going by the link's kind is what makes that hold while the operator is stopped.
* replies: packets in the reply direction of an established flow, and ICMPv6 errors about it. The reply direction
  exists only where the flow's first packet was let through.
* inbound, to a managed subnet through its own bridge: published ports (translated, and to a published target); what
  others translated or established, unmarked; none of this is for who called an external address, whom our own prefix
  translation brought: the flow's first destination tells, which no later rule can change. That one comes in by what
  follows alone, as if it had called the container's own address; the ICMPv6 that must not be dropped (RFC 4890, 4.3.1:
  errors, and echo from outside); `firewall.ingress` from outside; other networks' containers where the network is not
  isolated. All else is dropped.

**to_host** (filter, input, `filter - 1`). The subnet's addresses are not all containers': one is the bridge's own, and
what listens on it is meant for containers. Nobody reaches it by its external address. The flow's original destination
(`ct original`) tells; behind the translation nothing else does.

**forward_done** (filter, priority 100, behind every named one) clears the bit again: it is of no use to anybody after
the filters, and IPsec policies and traffic control look at marks too. Routing has been done by then, and the bit was
set after the routing decision, so no `ip rule` ever sees it.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv6Network
from typing import NamedTuple

from dockerv6.firewall import filter_chains as filtering
from dockerv6.firewall import nat_chains as translating
from dockerv6.firewall.elements import element_sets
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.lib.networking import EgressMode


def render(intent: FirewallIntent) -> Ruleset:
    """The ruleset that fulfils the intent; `EMPTY` when nothing in it concerns us and nobody's elements are held.

    Of networks whose subnets overlap, only the first by owner's name gets elements (see `overlapping_subnets`), and of
    external prefixes likewise (see `overlapping_external_prefixes`).
    """
    networks, lost, _ = resolve_overlaps(intent.networks)
    if not networks and not intent.keep:
        return EMPTY
    # An owner may have several networks, of which only some are left out.
    ports = tuple(port for port in intent.ports if port.owner not in lost or _is_in(port, networks))
    chains = sorted((*filtering.chains(intent), *translating.chains(networks)), key=lambda chain: chain.name)
    return Ruleset(tuple(chains), element_sets(networks, ports, intent), exists=True)


def _is_in(port: PortIntent, networks: tuple[NetworkIntent, ...]) -> bool:
    return any(network.owner == port.owner and port.target in network.subnet for network in networks)


def overlapping_subnets(intent: FirewallIntent) -> Mapping[str, str]:
    """Owners whose network is left out because its subnet overlaps another's, and that other owner."""
    return resolve_overlaps(intent.networks).lost


def overlapping_external_prefixes(intent: FirewallIntent) -> Mapping[str, str]:
    """Owners of whom an external prefix is left out because it overlaps another's, or a subnet, and that other owner.

    One whose first external prefix is left out is neither translated nor let out.
    """
    return resolve_overlaps(intent.networks).external_lost


# ---- networks and external prefixes that overlap ----


class SeparatedNetworks(NamedTuple):
    """Networks that overlap no other, with external prefixes that overlap nobody's, by owner's name.

    Attributes:
        lost: owners who have a network that is left out, and who was before them.
        external_lost: owners with an external prefix that is left out, and the owner of what it overlaps.
    """

    networks: tuple[NetworkIntent, ...]
    lost: Mapping[str, str]
    external_lost: Mapping[str, str]


_Taken = dict[int, dict[int, str]]
"""Owners by prefix length and number."""


@lru_cache(maxsize=2)
def resolve_overlaps(networks: tuple[NetworkIntent, ...]) -> SeparatedNetworks:
    """The networks, without those and without external prefixes that overlap an earlier one by owner's name.

    Subnets come before external prefixes: containers have their addresses already. The result is cached, because a
    caller that renders an intent also asks what was left out of it.
    """
    subnets: _Taken = {}
    kept: list[NetworkIntent] = []
    lost: dict[str, str] = {}
    for network in sorted(networks, key=_order):
        rival = _rival(network.subnet, subnets)
        if rival is not None:
            lost[network.owner] = rival
            continue
        _take(network.subnet, network.owner, subnets)
        kept.append(network)
    external_lost: dict[str, str] = {}
    externals: _Taken = {}
    return SeparatedNetworks(
        tuple(_with_external(each, subnets, externals, external_lost) for each in kept), lost, external_lost
    )


def _with_external(network: NetworkIntent, subnets: _Taken, externals: _Taken, lost: dict[str, str]) -> NetworkIntent:
    """The network with the external prefixes that it may have.

    A former one that it may not have is left out alone. Without the first nothing could be given to what leaves, and
    a former one in its place would be none of its own any more: then it has none.
    """
    if network.egress is not EgressMode.PREFIX_TRANSLATION or network.internal:
        return network
    kept: list[IPv6Network] = []
    for number, external in enumerate(dict.fromkeys(network.external_prefixes)):
        rival = _rival(external, externals) or (_rival(external, subnets) if external != network.subnet else None)
        if rival is None and external.prefixlen == network.subnet.prefixlen:
            kept.append(external)
            continue
        if rival is not None:
            lost[network.owner] = rival
        if number == 0:
            break
    for external in kept:
        _take(external, network.owner, externals)
    return network if tuple(kept) == network.external_prefixes else replace(network, external_prefixes=tuple(kept))


def _order(network: NetworkIntent) -> tuple[str, int, int, str]:
    """By owner, then as subnets are ordered, without comparing them: that is slow."""
    return (network.owner, int(network.subnet.network_address), network.subnet.prefixlen, network.bridge)


def _take(prefix: IPv6Network, owner: str, taken: _Taken) -> None:
    taken.setdefault(prefix.prefixlen, {})[_number(prefix)] = owner


def _number(prefix: IPv6Network) -> int:
    return int(prefix.network_address) >> (prefix.max_prefixlen - prefix.prefixlen)


def _rival(prefix: IPv6Network, taken: _Taken) -> str | None:
    """The owner of a prefix that holds this one or lies in it."""
    number = _number(prefix)
    for length, owners in taken.items():
        if length <= prefix.prefixlen:
            owner = owners.get(number >> (prefix.prefixlen - length))
        else:
            owner = next((each for n, each in owners.items() if n >> (length - prefix.prefixlen) == number), None)
        if owner is not None:
            return owner
    return None
