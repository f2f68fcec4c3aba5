"""Strategies for firewall intents, and for rulesets with and without damage."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from hypothesis import strategies as st

from dockerv6.firewall.expr import Chain, Element, ElementSet, Jump, KeyType, Rule, UnknownExpr, overlapping
from dockerv6.firewall.model import FirewallIntent, Ingress, NetworkIntent, PortIntent
from dockerv6.firewall.render import render
from dockerv6.firewall.ruleset import EMPTY, Ruleset
from dockerv6.lib.networking import EgressMode, TransportProtocol

OWNERS = st.sampled_from(["blog", "shop", "db", "mail"])
_BRIDGES = st.sampled_from(["br-a", "br-b", "br-c"])
_INTERFACES = st.sampled_from(["eth0", "eth1", "wg0"])
_TRANSPORTS = st.sampled_from(list(TransportProtocol))
_NUMBERS = st.sampled_from([53, 80, 8080])
_HOST = IPv6Address("2001:db8::1")


@st.composite
def prefixes(draw: st.DrawFn) -> IPv6Network:
    """Prefixes from a small space, so that they often overlap."""
    length = draw(st.sampled_from([48, 56, 64, 80, 128]))
    number = draw(st.integers(0, 7))
    return IPv6Network(((0xFD00 << 112) | (number << (128 - length)), length))


_few_prefixes = st.lists(prefixes(), max_size=2).map(tuple)
_ingress = st.builds(
    Ingress,
    sources=_few_prefixes,
    targets=_few_prefixes,
    ports=st.lists(st.tuples(_TRANSPORTS, _NUMBERS), max_size=2).map(tuple),
)
_HOSTS = prefixes().map(lambda prefix: prefix.network_address)


@st.composite
def _external_prefixes(draw: st.DrawFn, length: int) -> tuple[IPv6Network, ...]:
    """Prefixes of that length, which overlap one another and subnets."""
    numbers = draw(st.lists(st.integers(0, 15), max_size=2, unique=True))
    return tuple(IPv6Network(((0xFD00 << 112) | (number << (128 - length)), length)) for number in numbers)


_plain_networks = st.builds(
    NetworkIntent,
    owner=OWNERS,
    subnet=prefixes(),
    bridge=_BRIDGES,
    egress=st.sampled_from(list(EgressMode)),
    snat_address=st.none() | _HOSTS,
    egress_interfaces=st.lists(_INTERFACES, max_size=2, unique=True).map(tuple),
    egress_exclude=st.lists(prefixes(), max_size=3).map(tuple),
    internal=st.booleans(),
    isolated=st.booleans(),
    icc=st.booleans(),
    ingress=st.lists(_ingress, max_size=2).map(tuple),
)
networks = _plain_networks.flatmap(
    lambda network: st.builds(
        replace,
        st.just(network),
        external_prefixes=_external_prefixes(network.subnet.prefixlen),
        external_addresses=st.none() | st.lists(_HOSTS, max_size=3).map(tuple),
    )
)
ports = st.builds(
    PortIntent,
    owner=OWNERS,
    protocol=_TRANSPORTS,
    port=_NUMBERS,
    target=_HOSTS,
    target_port=_NUMBERS,
    gateway=st.none() | st.just(_HOST),
    host_address=st.none() | st.sampled_from([_HOST, _HOST + 1, IPv6Address("::1")]),
    sources=_few_prefixes,
)
keeps = st.frozensets(OWNERS, max_size=2)
intents = st.builds(
    FirewallIntent,
    networks=st.lists(networks, max_size=5).map(tuple),
    keep=keeps,
    uplink_bridges=st.lists(st.sampled_from(["br0", "br1"]), unique=True).map(tuple),
    ports=st.lists(ports, max_size=5).map(tuple),
    guest_bridges=st.none() | st.lists(_BRIDGES, unique=True).map(tuple),
    host_addresses=st.lists(_HOSTS, max_size=2, unique=True).map(tuple),
)


@st.composite
def _damaged_chains(draw: st.DrawFn, ruleset: Ruleset) -> tuple[Chain, ...]:
    chains: list[Chain] = []
    for chain in ruleset.chains:
        damage = draw(st.sampled_from(["keep", "keep", "removed", "flushed", "edited", "moved", "backwards"]))
        match damage:
            case "keep":
                chains.append(chain)
            case "flushed":
                chains.append(replace(chain, rules=()))
            case "edited":
                chains.append(replace(chain, rules=(*chain.rules[1:], Rule((UnknownExpr("drop"),)))))
            case "backwards":
                chains.append(replace(chain, rules=chain.rules[::-1]))
            case "moved" if chain.hook:
                chains.append(replace(chain, priority=chain.priority + 7))
    if draw(st.booleans()):
        chains.append(Chain("aaa", (Rule((UnknownExpr("accept"),)),)))
    names = {chain.name for chain in chains}
    # the kernel keeps a chain as long as something jumps to it
    chains = [replace(chain, rules=()) if targets(chain) - names else chain for chain in chains]
    return tuple(sorted(chains, key=lambda chain: chain.name))


def targets(chain: Chain) -> set[str]:
    return {term.chain for rule in chain.rules for term in rule.terms if isinstance(term, Jump)}


@st.composite
def _damaged_sets(draw: st.DrawFn, ruleset: Ruleset) -> tuple[ElementSet, ...]:
    sets: list[ElementSet] = []
    for each in ruleset.sets:
        kept = draw(st.sets(st.sampled_from(sorted(each.elements)))) if each.elements else set()
        value = draw(_parts(each.data)) if each.data else ""
        key = tuple(draw(_parts(kind, ranges=each.interval)) for kind in each.key)
        more = Element(key, draw(OWNERS | st.just("")), value)
        elements = frozenset(kept)
        if overlapping([*(e.key for e in elements), more.key]) is None:
            elements |= {more}
        if draw(st.integers(0, 9)):
            sets.append(replace(each, elements=elements))
        else:
            sets.append(replace(each, key=(*each.key, KeyType.INTERFACE), elements=frozenset()))
    return tuple(sets)


def _parts(kind: KeyType, *, ranges: bool = True) -> st.SearchStrategy[str]:
    return {
        KeyType.PREFIX: prefixes().map(str) if ranges else _HOSTS.map(lambda address: f"{address}/128"),
        KeyType.INTERFACE: _INTERFACES | _BRIDGES,
        KeyType.PROTOCOL: _TRANSPORTS.map(str),
        KeyType.PORT: _NUMBERS.map(str),
    }[kind]


@st.composite
def observed(draw: st.DrawFn) -> Ruleset:
    """A table of the kernel: none, an empty one, or one of ours that was modified."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from([EMPTY, Ruleset(exists=True)]))
    ruleset = render(draw(intents))
    if not ruleset.exists:
        return ruleset
    return Ruleset(
        draw(_damaged_chains(ruleset)),
        draw(_damaged_sets(ruleset)),
        draw(st.sampled_from([(), (), ("map m",)])),
        exists=True,
    )
