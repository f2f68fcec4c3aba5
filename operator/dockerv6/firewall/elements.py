"""The elements of our sets and maps, for the networks and ports of an intent. Pure.

If two owners claim the same key, the first one by name gets it. Planning resolves such conflicts earlier.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from itertools import islice
from typing import NamedTuple

from dockerv6.firewall.expr import Element, ElementSet, KeyType
from dockerv6.firewall.model import FirewallIntent, NetworkIntent, PortIntent
from dockerv6.firewall.rectangles import collapsed, disjoint
from dockerv6.lib.networking import ANYWHERE, EgressMode

NETWORKS = "networks"
OWN_BRIDGE = "own_bridge"
INTERNAL = "internal"
NO_ICC = "no_icc"
OPEN = "open"
EGRESS_ANY = "egress_any"
EGRESS_VIA = "egress_via"
EGRESS_PINNED = "egress_pinned"
EXCLUDED = "excluded"
INGRESS_ANY = "ingress_any"
INGRESS_PORT = "ingress_port"
PUBLISHED = "published"
PUBLISHED_TO = "published_to"
PUBLISHED_PORT = "published_port"
PUBLISHED_AT_TO = "published_at_to"
PUBLISHED_AT_PORT = "published_at_port"
LOOPBACK = "loopback"
RESTRICTED = "restricted"
ALLOWED = "allowed"
ROUTED = "routed"
SNAT_TO = "snat_to"
TRANSLATED = "translated"
# Elements of suspended resources survive an upgrade only in a set of the same name, so these two keep their old names.
EXTERNAL = "outer"
EXTERNAL_HOST = "outer_own"
UPLINK_BRIDGES = "uplink_bridges"
VALIDATED = "validated"
VALID_SOURCES = "valid_sources"
LINK_SOURCES = "link_sources"
GUEST_BRIDGES = "guest_bridges"

LIMIT = 65_536
"""Elements of one owner. The allow-list of a country has some thousand prefixes; every change compares them all."""

_LONG = 256  # prefixes of an intent whose elements are kept for a few intents only

_LOOPBACK = "::1/128"

ANY_LINK_SOURCES = ("::/128", "fe80::/10")
"""Sources that are valid on every link: a host that has no address yet sends duplicate address detection and multicast
listener reports from the unspecified address (RFC 4862, 5.4.2; RFC 3590), and neighbour discovery uses link-local
addresses (RFC 4861). Neither is forwarded (RFC 4291, 2.5.2 and 2.5.6)."""


class _Kind(NamedTuple):  # as `ElementSet.definition`
    key: tuple[KeyType, ...]
    interval: bool = False
    data: KeyType | None = None


_PREFIX, _LINK, _PROTOCOL, _PORT = KeyType.PREFIX, KeyType.INTERFACE, KeyType.PROTOCOL, KeyType.PORT
_KINDS = {
    ALLOWED: _Kind((_PROTOCOL, _PORT, _PREFIX, _PREFIX), interval=True),
    EGRESS_ANY: _Kind((_PREFIX,), interval=True),
    EGRESS_PINNED: _Kind((_PREFIX,), interval=True),
    EGRESS_VIA: _Kind((_PREFIX, _LINK), interval=True),
    EXCLUDED: _Kind((_PREFIX, _PREFIX), interval=True),
    GUEST_BRIDGES: _Kind((_LINK,)),
    INGRESS_ANY: _Kind((_PREFIX, _PREFIX), interval=True),
    INGRESS_PORT: _Kind((_PREFIX, _PREFIX, _PROTOCOL, _PORT), interval=True),
    INTERNAL: _Kind((_LINK,)),
    LINK_SOURCES: _Kind((_PREFIX,), interval=True),
    LOOPBACK: _Kind((_PROTOCOL, _PORT), data=_PREFIX),
    NETWORKS: _Kind((_PREFIX, _LINK), interval=True),
    NO_ICC: _Kind((_LINK, _LINK)),
    OPEN: _Kind((_LINK,)),
    EXTERNAL: _Kind((_PREFIX,), interval=True),
    EXTERNAL_HOST: _Kind((_PREFIX,)),
    OWN_BRIDGE: _Kind((_LINK, _LINK)),
    PUBLISHED: _Kind((_PREFIX, _PROTOCOL, _PORT)),
    PUBLISHED_AT_PORT: _Kind((_PROTOCOL, _PORT, _PREFIX), data=_PORT),
    PUBLISHED_AT_TO: _Kind((_PROTOCOL, _PORT, _PREFIX), data=_PREFIX),
    PUBLISHED_PORT: _Kind((_PROTOCOL, _PORT), data=_PORT),
    PUBLISHED_TO: _Kind((_PROTOCOL, _PORT), data=_PREFIX),
    RESTRICTED: _Kind((_PROTOCOL, _PORT, _PREFIX), interval=True),
    ROUTED: _Kind((_PREFIX,), interval=True),
    SNAT_TO: _Kind((_PREFIX,), interval=True, data=_PREFIX),
    TRANSLATED: _Kind((_PREFIX,), interval=True),
    UPLINK_BRIDGES: _Kind((_LINK,)),
    VALID_SOURCES: _Kind((_LINK, _PREFIX), interval=True),
    VALIDATED: _Kind((_LINK,)),
}
"""An owned key begins with a prefix only where that is a network's subnet, a container in it, or its external prefix.
Keys for ports of the host begin with the protocol. `ruleset` relies on this to find elements that conflict."""


def is_ours(there: ElementSet) -> bool:
    """Whether a set in a table is defined as ours of that name: then its elements have the meaning that we write."""
    kind = _KINDS.get(there.name)
    return kind is not None and there.definition == kind


def element_sets(
    networks: Iterable[NetworkIntent], ports: Iterable[PortIntent], intent: FirewallIntent
) -> tuple[ElementSet, ...]:
    """All our sets and maps, by name, with the elements of these networks and ports and of the intent's bridges."""
    found: dict[str, dict[tuple[str, ...], Element]] = {name: {} for name in _KINDS}
    for network in networks:
        for name, element in _elements_of_network(network):
            found[name].setdefault(element.key, element)
    for port in _without_duplicates(ports):
        for name, element in _elements_of_port(port):
            found[name].setdefault(element.key, element)
    for name, bridges in ((UPLINK_BRIDGES, intent.uplink_bridges), (GUEST_BRIDGES, intent.guest_bridges or ())):
        found[name].update(((bridge,), Element((bridge,))) for bridge in bridges)
    own = [Element((f"{address}/128",)) for address in intent.host_addresses]
    found[EXTERNAL_HOST].update((each.key, each) for each in own)
    found[LINK_SOURCES].update(((prefix,), Element((prefix,))) for prefix in ANY_LINK_SOURCES)
    for bridge in intent.uplink_bridges:  # whatever the default route leads to sends from there
        found[VALIDATED].pop((bridge,), None)
    return tuple(
        ElementSet(name, kind.key, interval=kind.interval, elements=frozenset(found[name].values()), data=kind.data)
        for name, kind in _KINDS.items()
    )


def oversized_owners(networks: Iterable[NetworkIntent], ports: Iterable[PortIntent]) -> frozenset[str]:
    """Owners with more than `LIMIT` elements."""
    counts: dict[str, int] = {}
    for network in networks:
        if counts.get(network.owner, 0) <= LIMIT:
            counts[network.owner] = counts.get(network.owner, 0) + _count(network)
    for port in ports:
        counts[port.owner] = counts.get(port.owner, 0) + _ELEMENTS_OF_PORT + len(port.sources)
    return frozenset(owner for owner, count in counts.items() if count > LIMIT)


_ELEMENTS_OF_PORT = 5  # besides those of its allow-list


def _count(network: NetworkIntent) -> int:
    """How many elements it has; an upper bound if only some of several lists can be long."""
    if network.ingress:  # pairs of prefixes, which may be cut
        return len(_elements_of_network(network))
    addresses = network.external_addresses if network.external_addresses is not None else network.external_prefixes
    return 10 + len(network.egress_interfaces) + len(network.egress_exclude) + len(addresses)


def _elements_of_network(network: NetworkIntent) -> tuple[tuple[str, Element], ...]:
    """A network's elements, each with its set's name. Cached: if one network changes, all are rendered again."""
    prefixes = len(network.egress_exclude) + sum(len(rule.sources) + len(rule.targets) for rule in network.ingress)
    return _elements_of_network_with_many(network) if prefixes > _LONG else _elements_of_network_with_few(network)


@lru_cache(maxsize=4096)
def _elements_of_network_with_few(network: NetworkIntent) -> tuple[tuple[str, Element], ...]:
    return tuple(islice(_network_elements(network), LIMIT + 1))


@lru_cache(maxsize=8)
def _elements_of_network_with_many(network: NetworkIntent) -> tuple[tuple[str, Element], ...]:
    return tuple(islice(_network_elements(network), LIMIT + 1))


def _network_elements(network: NetworkIntent) -> Iterator[tuple[str, Element]]:
    subnet, bridge, owner = str(network.subnet), network.bridge, network.owner
    yield OWN_BRIDGE, Element((bridge, bridge), owner)
    if network.source_validation:
        yield VALIDATED, Element((bridge,), owner)
        yield VALID_SOURCES, Element((bridge, subnet), owner)
    if not network.icc:
        yield NO_ICC, Element((bridge, bridge), owner)
    if network.internal:
        yield INTERNAL, Element((bridge,), owner)
        return
    yield NETWORKS, Element((subnet, bridge), owner)
    if not network.isolated:
        yield OPEN, Element((bridge,), owner)
    yield from _ingress(network)
    translation = tuple(_translation(network))
    if translation or network.egress is EgressMode.MASQUERADE:
        yield from translation
        yield from _egress(network)


def _egress(network: NetworkIntent) -> Iterator[tuple[str, Element]]:
    """Where its packets may leave, translated or not."""
    subnet, owner = str(network.subnet), network.owner
    yield (EGRESS_PINNED if network.egress_interfaces else EGRESS_ANY), Element((subnet,), owner)
    for interface in network.egress_interfaces:
        if interface != network.bridge:
            yield EGRESS_VIA, Element((subnet, interface), owner)
    # the kernel refuses destinations that overlap
    for destination in collapsed(network.egress_exclude):
        yield EXCLUDED, Element((subnet, str(destination)), owner)


def _translation(network: NetworkIntent) -> Iterator[tuple[str, Element]]:
    """How its source is translated, other than by masquerading. Nothing if the mode lacks its address or prefix."""
    subnet, owner = str(network.subnet), network.owner
    match network.egress:
        case EgressMode.ROUTED:
            yield ROUTED, Element((subnet,), owner)
        case EgressMode.SNAT if network.snat_address is not None:
            yield SNAT_TO, Element((subnet,), owner, f"{network.snat_address}/128")
        case EgressMode.PREFIX_TRANSLATION if network.external_prefixes:
            yield TRANSLATED, Element((subnet,), owner)
            for prefix in _external(network):
                yield EXTERNAL, Element((str(prefix),), owner)


def _external(network: NetworkIntent) -> Iterable[IPv6Network]:
    if network.external_addresses is None:
        return network.external_prefixes
    named = dict.fromkeys(network.external_addresses)
    return [
        IPv6Network(address) for address in named if any(address in external for external in network.external_prefixes)
    ]


def _ingress(network: NetworkIntent) -> Iterator[tuple[str, Element]]:
    """What may come in: for each port, pairs of target and source that don't overlap.

    They are computed once for all ports that have the same rules.
    """
    rules_of_port: dict[tuple[str, ...], list[int]] = {}
    for index, rule in enumerate(network.ingress):
        numbers: list[tuple[str, ...]] = [(str(protocol), str(number)) for protocol, number in rule.ports]
        for port in dict.fromkeys(numbers or [()]):
            rules_of_port.setdefault(port, []).append(index)
    ports_of_rules: dict[tuple[int, ...], list[tuple[str, ...]]] = {}
    for port, indices in rules_of_port.items():
        ports_of_rules.setdefault(tuple(indices), []).append(port)
    for rules, ports in ports_of_rules.items():
        boxes = [
            # a target outside the subnet may belong to another network
            ([t for t in rule.targets or (network.subnet,) if t.subnet_of(network.subnet)], rule.sources or (ANYWHERE,))
            for rule in (network.ingress[index] for index in rules)
        ]
        pairs = [(str(target), str(source)) for target, source in disjoint(boxes, LIMIT + 1)]
        for port in ports:
            name = INGRESS_PORT if port else INGRESS_ANY
            for pair in pairs:
                yield name, Element((*pair, *port), network.owner)


def _without_duplicates(ports: Iterable[PortIntent]) -> Iterator[PortIntent]:
    """Of intents for the same port only the first. A port of all addresses excludes a port of one of them.

    Their elements in `RESTRICTED` and `ALLOWED` would overlap, and the kernel would refuse the whole transaction.
    """
    taken: dict[tuple[str, int], set[IPv6Address | None]] = {}
    for port in sorted(ports, key=lambda each: each.owner):
        addresses = taken.setdefault((port.protocol, port.port), set())
        if not addresses or not (None in addresses or port.host_address in {None, *addresses}):
            addresses.add(port.host_address)
            yield port


@lru_cache(maxsize=16384)
def _elements_of_port(port: PortIntent) -> tuple[tuple[str, Element], ...]:
    return tuple(islice(_port_elements(port), LIMIT + 1))


def _port_elements(port: PortIntent) -> Iterator[tuple[str, Element]]:
    here, owner = (str(port.protocol), str(port.port)), port.owner
    target, number = f"{port.target}/128", str(port.target_port)
    yield PUBLISHED, Element((target, here[0], number), owner)
    if port.host_address is None:
        yield PUBLISHED_TO, Element(here, owner, target)
        yield PUBLISHED_PORT, Element(here, owner, number)
    else:
        bound = (*here, f"{port.host_address}/128")
        yield PUBLISHED_AT_TO, Element(bound, owner, target)
        yield PUBLISHED_AT_PORT, Element(bound, owner, number)
    if port.gateway is not None and (port.host_address is None or f"{port.host_address}/128" == _LOOPBACK):
        yield LOOPBACK, Element(here, owner, f"{port.gateway}/128")
    if port.sources:
        guarded = (*here, f"{port.host_address}/128" if port.host_address is not None else str(ANYWHERE))
        yield RESTRICTED, Element(guarded, owner)
        for source in collapsed(port.sources):
            yield ALLOWED, Element((*guarded, str(source)), owner)
