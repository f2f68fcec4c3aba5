"""The flows that stand for what our table lets through: one of a kind for each network and published port. Pure.

They are made from the table that is in the kernel, so they are the same for the daemon and for `dockerv6 doctor`, and a
resource without rules has none. A network's container is a published one, or a running one, because a filter may have
rules for single containers; or the first address that an engine gives.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from dockerv6.firewall.elements import (
    ALLOWED,
    EGRESS_ANY,
    EGRESS_PINNED,
    EGRESS_VIA,
    EXTERNAL,
    INGRESS_ANY,
    INGRESS_PORT,
    NETWORKS,
    NO_ICC,
    PUBLISHED_AT_TO,
    PUBLISHED_TO,
)
from dockerv6.firewall.expr import Element
from dockerv6.firewall.prefixes import PREFIX_IN, prefixes_of
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.firewall.walk.packet import INTERNET, TCP, UDP, Flow, Paths, exact_address

PORTS, SOURCES = 8, 2
"""Of one owner's published ports, and of one network's `firewall.ingress`, at most so many are followed."""

_HTTPS = 443
_DEFAULT = IPv6Network("::/0")
_PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": 132}


@dataclass(frozen=True, slots=True)
class _Subnet:
    """A network's subnet behind its bridge."""

    owner: str
    prefix: IPv6Network
    bridge: str
    container: IPv6Address


def representative_flows(table: Ruleset, paths: Paths) -> tuple[Flow, ...]:
    """The flows, by owner. A network without its bridge, or without a way out, has none that need it."""
    # without an owner, an element was added by hand, such as a range that is no prefix
    sets = {each.name: frozenset(e for e in each.elements if e.owner) for each in table.sets}
    subnets = tuple(_subnets(sets, paths))
    flows = [flow for each in subnets for flow in (*_egress(each, sets, paths), *_within(each, sets, paths))]
    outer = _external_prefixes(table)
    flows += [flow for each in subnets for flow in _ingress(each, sets, paths, outer)]
    flows += _published(subnets, sets, paths)
    return tuple(sorted(flows, key=lambda flow: flow.owner))


_Sets = Mapping[str, frozenset[Element]]


def _subnets(sets: _Sets, paths: Paths) -> Iterator[_Subnet]:
    published = sorted(IPv6Network(e.value).network_address for e in sets.get(PUBLISHED_TO, ()))
    candidates = (*published, *sorted(paths.containers))
    for element in sorted(sets.get(NETWORKS, ())):
        prefix, bridge = IPv6Network(element.key[0]), element.key[1]
        if bridge in paths.links:
            first = next((each for each in candidates if each in prefix), prefix[min(2, prefix.num_addresses - 1)])
            leads = paths.route(exact_address(first))
            if leads is not None and leads.name == bridge:  # a new bridge is there before its route
                yield _Subnet(element.owner, prefix, bridge, first)


def _egress(subnet: _Subnet, sets: _Sets, paths: Paths) -> Iterator[Flow]:
    key = str(subnet.prefix)
    pinned = sorted(e.key[1] for e in sets.get(EGRESS_VIA, ()) if e.key[0] == key)
    if (key,) in _keys(sets, EGRESS_ANY):
        outs: list[str] = [link.name] if (link := paths.route(exact_address(INTERNET))) is not None else []
    elif (key,) in _keys(sets, EGRESS_PINNED):
        outs = pinned
    else:
        return
    for out in outs:
        destination = _behind(out, paths)
        if destination is not None and out != subnet.bridge:
            yield Flow(
                subnet.owner,
                f"connections from containers of {subnet.prefix} through {out}",
                subnet.container,
                destination,
                subnet.bridge,
                TCP,
                _HTTPS,
                subnet=subnet.prefix,
            )


def _within(subnet: _Subnet, sets: _Sets, paths: Paths) -> Iterator[Flow]:
    if subnet.bridge not in paths.bridge_filtered or (subnet.bridge, subnet.bridge) in _keys(sets, NO_ICC):
        return
    other = subnet.prefix[min(3, subnet.prefix.num_addresses - 1)]
    yield Flow(
        subnet.owner,
        f"connections between containers of {subnet.prefix}",
        subnet.container,
        other if other != subnet.container else subnet.prefix[min(2, subnet.prefix.num_addresses - 1)],
        subnet.bridge,
        TCP,
        _HTTPS,
        bridged=True,
        subnet=subnet.prefix,
    )


_Outer = tuple[tuple[IPv6Network, IPv6Network], ...]
"""Translated prefixes: the containers' and the external one."""


def _external_prefixes(table: Ruleset) -> _Outer:
    chain = table.chain(PREFIX_IN)
    pairs = (prefixes_of(rule) for rule in (chain.owned if chain is not None else ()))
    return tuple((IPv6Network(internal), IPv6Network(external)) for external, internal in pairs)


def _external_address(address: IPv6Address, subnet: IPv6Network, outer: _Outer) -> IPv6Address | None:
    """The address by which clients reach a container; None: it has none now."""
    here = [each for each in outer if each[0].overlaps(subnet)]
    if not here:
        return address
    return next(
        (external[int(address) - int(internal.network_address)] for internal, external in here if address in internal),
        None,
    )


def _leads_in(address: IPv6Address, sets: _Sets) -> bool:
    """Whether packets to an external address are translated: on a link, only those to a container's."""
    return any(address in IPv6Network(element.key[0]) for element in sets.get(EXTERNAL, ()))


def _ingress(subnet: _Subnet, sets: _Sets, paths: Paths, outer: _Outer) -> Iterator[Flow]:
    found = 0
    for name in (INGRESS_ANY, INGRESS_PORT):
        for element in sorted(sets.get(name, ())):
            target, source = IPv6Network(element.key[0]), _address_in(IPv6Network(element.key[1]))
            came = paths.route(exact_address(source))
            if not target.subnet_of(subnet.prefix) or came is None or came.name == subnet.bridge or found == SOURCES:
                continue
            container = target.network_address if target.prefixlen == target.max_prefixlen else subnet.container
            destination = _external_address(container, subnet.prefix, outer)
            if destination is None or (destination != container and not _leads_in(destination, sets)):
                continue
            found += 1
            port = element.key[2:] or ("tcp", str(_HTTPS))
            yield Flow(
                subnet.owner,
                f"connections to {port[0]} port {port[1]} of containers of {subnet.prefix} (firewall.ingress)",
                source,
                destination,
                came.name,
                _PROTOCOLS[port[0]],
                int(port[1]),
                subnet=subnet.prefix,
            )


def _published(subnets: Iterable[_Subnet], sets: _Sets, paths: Paths) -> Iterator[Flow]:
    prefixes = tuple(subnets)
    counts: dict[str, int] = {}
    for name in (PUBLISHED_TO, PUBLISHED_AT_TO):
        for element in sorted(sets.get(name, ())):
            protocol, port = element.key[:2]
            target = IPv6Network(element.value).network_address
            behind = next((each for each in prefixes if target in each.prefix), None)
            if behind is None or counts.get(element.owner, 0) == PORTS:
                continue
            bound = IPv6Network(element.key[2]).network_address if name == PUBLISHED_AT_TO else None
            flows = tuple(_to_port(element.owner, protocol, int(port), bound, behind, sets, paths))
            counts[element.owner] = counts.get(element.owner, 0) + bool(flows)
            yield from flows


def _to_port(
    owner: str, protocol: str, port: int, bound: IPv6Address | None, behind: _Subnet, sets: _Sets, paths: Paths
) -> Iterator[Flow]:
    """From outside, and from the host itself."""
    client = _client(protocol, port, sets)
    came = paths.route(exact_address(client))
    address = bound if bound is not None else _own_address(came.name if came is not None else "", paths)
    if came is None or address is None or address not in paths.addresses or address.is_loopback:
        return
    what = f"{protocol} port {port}"
    ends = address, _PROTOCOLS[protocol], port
    if came.name not in {behind.bridge, "lo"}:
        yield Flow(
            owner,
            f"connections to {what} from {came.name}",
            client,
            address,
            came.name,
            *ends[1:],
            subnet=behind.prefix,
        )
    if client == INTERNET:  # else the host itself may not be among the clients
        yield Flow(owner, f"connections to {what} from the host", address, address, "", *ends[1:], subnet=behind.prefix)


def _client(protocol: str, port: int, sets: _Sets) -> IPv6Address:
    """A client that may connect."""
    allowed = [e.key[3] for e in sorted(sets.get(ALLOWED, ())) if e.key[:2] == (protocol, str(port))]
    return _address_in(IPv6Network(allowed[0])) if allowed else INTERNET


def _address_in(prefix: IPv6Network) -> IPv6Address:
    if INTERNET in prefix:
        return INTERNET
    return prefix[min(1, prefix.num_addresses - 1)]


def _own_address(link: str, paths: Paths) -> IPv6Address | None:
    return next((address for address, name in paths.addresses.items() if name == link), None)


def _behind(link: str, paths: Paths) -> IPv6Address | None:
    """An address that the host reaches through an interface."""
    candidates = [INTERNET, *(prefix[-1] for prefix, out in paths.routes if out == link and prefix != _DEFAULT)]
    for each in candidates:
        out = paths.route(exact_address(each))
        if out is not None and out.name == link and not each.is_link_local and not each.is_multicast:
            return each
    return None


def _keys(sets: _Sets, name: str) -> frozenset[tuple[str, ...]]:
    return frozenset(element.key for element in sets.get(name, ()))
