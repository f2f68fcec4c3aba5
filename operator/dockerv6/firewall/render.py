"""From intent to ruleset. Pure; this docstring says what the chains of our table are for.

Sets and maps are looked up, never walked through: a packet costs the same with one network and one port as with
hundreds of networks and thousands of ports. Elements of a network have its subnet or its bridge as the first part of
their key, so a change of one network touches its own elements only. Prefix translations are the exception. No map can
hold prefixes as values, so they are rules, one for each network and direction; only the first packet of a flow of such
a network passes through them.

**prerouting, output** (nat, `dstnat - 1`: just before the engine's). A published port is two map elements: (protocol,
port) to address, and to port. If it is bound to one address, the key has that address too. Only packets to the host's
own addresses are looked up. The source stays, so the container sees the client's address. A link-local source can't be
routed any further, so its packets stay on the host (RFC 4291, 2.5.6). Behind the ports, packets to an external prefix
go to **prefix_in**, except to addresses in it that the host itself has. Of an on-link prefix, only the named addresses
of containers lead in: other hosts of the link have addresses in that prefix, and neither the host nor its containers
could reach them otherwise.

**source_validation** (filter, prerouting, `raw`: before connection tracking, so that a forged packet can't change the
state of somebody else's flow) drops what comes from a bridge of ours with a source outside the bridge's subnets.
Containers have CAP_NET_RAW by default, so they can send any source: UDP from an address that an allow-list accepts, or
packets that leave the host with the address of another network or of nobody (BCP 38, RFC 2827). The unspecified address
and link-local ones are valid on every link, as duplicate address detection, multicast listener reports and neighbour
discovery need. Not checked: bridges with a default route, whose sources are the internet's; and bridges with a subnet
that has no rules because it overlaps another one. A container that routes for others needs `firewall.sourceValidation:
false`. Containers of one network can still use one another's addresses: frames within a bridge are not routed.

**guard** (filter, prerouting, `mangle`: before any translation). A port with an allow-list is closed for all other
clients, whatever listens there: our translation, the engine's, its userland proxy, or a process of the host. Only
packets in a flow's original direction are checked, since the host may itself connect from that port.

**loopback, loopback_back**. A connection to [::1] has the source ::1, which must not leave the host. A reply that is
translated back to ::1 is dropped as a martian before it reaches the socket (ip6_rcv; a route to ::1 is only found on
lo). So the source is replaced by the address of the target's bridge before connection tracking, and the destination of
replies is replaced in the input hook, after routing.

**postrouting** (nat, `srcnat - 1`). The first NAT decision wins, and *accept is none*: the engine's MASQUERADE in the
next chain would still translate what our chain has accepted. So "not translated" is a decision as well, `snat to ip6
saddr`: the packet keeps its source, and later NAT chains are not asked. Within a network's own bridge, only connections
through a published port are translated (hairpin: otherwise the target replies to the client directly, from another
address). Connections between networks through a published port are translated too, as on IPv4: engines from 28.2 on
drop replies to containers' own addresses. `masquerade` has neither `random` nor `fully-random`. It keeps a source port
that is free, as the engine does; peers behind strict firewalls and UDP applications rely on that.

Packets that may leave go through **translate**, by the egress mode of their network. *Routed* keeps the source, also
against the engine's MASQUERADE. *SNAT* takes the address that a map has for the subnet. *PrefixTranslation* goes on to
**prefix_out**. The rest is *Masquerade*. A mode that lacks its address or prefix lets nothing out and translates
nothing, as *None* does.

**Prefix translation is stateful here.** RFC 6296 (NPTv6) describes a stateless one: each packet is rewritten by itself
in both directions, and one group of the address is adjusted so that checksums stay valid (checksum-neutral, 3.1); with
a /64 that group is in the host part. Flows survive a router's restart, and two routers can share the work. netfilter
has no such translation. `snat ip6 prefix to` and NETMAP replace the prefix and keep all bits behind it, so that fd00::2
is visibly 2001:db8::2 outside; checksums are corrected in each packet, and in the inner headers of errors. Both are one
to one, keep ports (unless two flows would become one), are open in both directions, and need no application-layer
gateways. The difference: here the first packet of a flow decides, and connection tracking remembers the decision.

* A changed external prefix applies to new flows. Established flows keep the previous prefix as long as it is routed
  here. It stays among the external prefixes, and leads in, for as long as it is valid (RFC 4862, 5.5.4).
* A flow that the host doesn't know (after a reboot, with a full table, or if another router handled the other
  direction) is a new one.
* Connections that were let in are known, so the default is closed: an external address is as closed as the
  container's own.

**forward** (filter, `filter - 1`: just before other filters) drops what must not pass. A drop is final, but an accept
can't overrule a drop in another base chain. So flows that are allowed get one bit of the mark (the other bits are not
ours), and one rule in the host's filter accepts that bit.

* within (from a bridge to itself: hairpin, and bridged packets that br_netfilter shows): allowed. If containers must
  not reach one another (icc false), only published ports and neighbour discovery are.
* internal networks: nothing leaves, nothing enters.
* out: from the subnet of a network and its own bridge, through the egress interfaces of the network if it names any.
  Otherwise through anything that is not a bridge, and through bridges that are known to lead outside. Any other bridge
  has containers or virtual machines behind it, whether we manage it or not, and whether it existed when the rules were
  written or not. A mark there would open what the engine or libvirt closes. Since rules match on the link's kind, this
  holds while the operator is stopped. They ask whether it is a bridge, never whether it is none: for a link without a
  kind, as physical ones are, the kernel ends a rule that asks for the kind (nft_meta_get_eval_kind).
* replies: packets in the reply direction of an established flow, and ICMPv6 errors about it. A flow has a reply
  direction only if its first packet was let through.
* inbound, to a subnet of ours through its own bridge: connections through published ports; and, without a mark, flows
  that other programs translated or established. Neither applies to a flow whose first destination was an external
  address: our own prefix translation let it in, and no later rule can change its first destination. Such a flow is
  checked like one to the container's own address, by the rest of the chain: ICMPv6 that must not be dropped (RFC 4890,
  4.3.1: errors, and echo from outside); `firewall.ingress` from outside; containers of other networks if the network is
  not isolated. The rest is dropped.

**to_host** (filter, input, `filter - 1`). One address of the subnet is the bridge's own, and services that listen there
are meant for containers. It can't be reached by its external address. Only the flow's original destination (`ct
original`) shows which address was used, since the translation comes first.

**forward_done** (filter, priority 100, after all named priorities) clears the bit. Nothing needs it after the filters,
and IPsec policies and traffic control look at marks as well. The bit is set after the routing decision, so `ip rule`
never sees it.
"""

from dockerv6.firewall.elements import element_sets
from dockerv6.firewall.filter_chains import filter_chains
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.nat_chains import nat_chains
from dockerv6.firewall.overlaps import resolve_overlaps
from dockerv6.firewall.ruleset import EMPTY, Ruleset


def render(intent: FirewallIntent) -> Ruleset:
    """The ruleset for the intent; `EMPTY` if there are no networks and no elements to keep.

    If subnets or external prefixes overlap, only the network with precedence gets elements (see `resolve_overlaps`).
    """
    networks, lost, _ = resolve_overlaps(intent.networks, intent.precedence)
    if not networks and not intent.keep:
        return EMPTY
    # an owner may have several networks, of which only some are left out
    ports = tuple(port for port in intent.ports if port.owner not in lost or _is_in(port, networks))
    chains = sorted((*filter_chains(intent), *nat_chains(networks)), key=lambda chain: chain.name)
    return Ruleset(tuple(chains), element_sets(networks, ports, intent), exists=True)


def _is_in(port: PortIntent, networks: tuple[NetworkIntent, ...]) -> bool:
    return any(network.owner == port.owner and port.target in network.subnet for network in networks)
