"""Networks and external prefixes that overlap: which of them get rules. Pure.

A claim is an owner and a prefix: a subnet, or an external prefix. The kernel would refuse the whole transaction if two
claims overlapped. The planner decides which owner has a claim; without such a decision, it is the first
by name, and subnets come before external prefixes, because containers have their addresses already.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv6Network
from typing import NamedTuple

from dockerv6.firewall.elements import NETWORKS, is_ours
from dockerv6.firewall.model import Claim, NetworkIntent
from dockerv6.firewall.prefixes import PREFIX_IN, prefixes_of
from dockerv6.firewall.ruleset import Ruleset
from dockerv6.lib.networking import EgressMode


class SeparatedNetworks(NamedTuple):
    """Networks whose subnets and external prefixes don't overlap.

    Attributes:
        networks: by owner's name.
        lost: owners with a network that is left out, by the owner of the one that it overlaps.
        external_lost: owners with an external prefix that is left out, by the owner of what it overlaps.
    """

    networks: tuple[NetworkIntent, ...]
    lost: Mapping[str, str]
    external_lost: Mapping[str, str]


_Taken = dict[int, dict[int, str]]
"""Owners by prefix length and number."""


class _Candidate(NamedTuple):
    """A claim of one network, in the order in which claims are granted."""

    position: int
    external: bool
    order: tuple[str, int, int, str]
    number: int  # of the external prefix, from 0
    at: int  # which network


@lru_cache(maxsize=4)
def resolve_overlaps(networks: tuple[NetworkIntent, ...], precedence: tuple[Claim, ...] = ()) -> SeparatedNetworks:
    """Leave out networks and external prefixes that overlap one with precedence.

    The result is cached, because a caller that renders an intent also asks what was left out.

    Args:
        networks: in any order.
        precedence: claims that come before all others, in this order.
    """
    subnets: _Taken = {}
    externals: _Taken = {}
    kept: set[int] = set()
    kept_externals: dict[int, list[tuple[int, IPv6Network]]] = {}
    lost: dict[str, str] = {}
    external_lost: dict[str, str] = {}
    untranslated: set[int] = set()  # without their first external prefix
    for claim in sorted(_candidates(networks, precedence)):
        network = networks[claim.at]
        if not claim.external:
            rival = _rival(network.subnet, subnets) or _rival(network.subnet, externals, besides=network.owner)
            if rival is not None:
                lost[network.owner] = rival
                continue
            _take(network.subnet, network.owner, subnets)
            kept.add(claim.at)
            continue
        if claim.at in untranslated or (claim.at not in kept and network.owner in lost):
            continue
        external = network.external_prefixes[claim.number]
        rival = _rival(external, externals) or (_rival(external, subnets) if external != network.subnet else None)
        if rival is None and external.prefixlen == network.subnet.prefixlen:
            _take(external, network.owner, externals)
            kept_externals.setdefault(claim.at, []).append((claim.number, external))
            continue
        if rival is not None:
            external_lost[network.owner] = rival
        if claim.number == 0:  # a previous prefix in its place may belong to another host by now
            untranslated.add(claim.at)
    found = [
        _with_external(networks[index], () if index in untranslated else sorted(kept_externals.get(index, ())))
        for index in sorted(kept, key=lambda index: _order(networks[index]))
    ]
    left_out = [network for index, network in enumerate(networks) if index not in kept]
    return SeparatedNetworks(tuple(_validated(found, left_out)), lost, external_lost)


def _candidates(networks: tuple[NetworkIntent, ...], precedence: tuple[Claim, ...]) -> Iterator[_Candidate]:
    last = len(precedence)
    positions = {claim: position for position, claim in enumerate(precedence)}
    for index, network in enumerate(networks):
        order = _order(network)
        at = positions.get((network.owner, network.subnet), last) if positions else last
        yield _Candidate(at, False, order, 0, index)
        if not _translated(network):
            continue
        for number, external in enumerate(network.external_prefixes):
            if external not in network.external_prefixes[:number]:
                at = positions.get((network.owner, external), last) if positions else last
                yield _Candidate(at, True, order, number, index)


def _translated(network: NetworkIntent) -> bool:
    return network.egress is EgressMode.PREFIX_TRANSLATION and not network.internal


def _with_external(network: NetworkIntent, kept: Iterable[tuple[int, IPv6Network]]) -> NetworkIntent:
    if not _translated(network):
        return network
    prefixes = tuple(prefix for _, prefix in kept)
    return network if prefixes == network.external_prefixes else replace(network, external_prefixes=prefixes)


def _validated(kept: Iterable[NetworkIntent], left_out: Iterable[NetworkIntent]) -> Iterator[NetworkIntent]:
    """The networks, without source validation on bridges with a subnet that is left out: its packets must pass."""
    kept = tuple(kept)
    incomplete = {
        n.bridge
        for n in left_out
        if not any(each.bridge == n.bridge and n.subnet.subnet_of(each.subnet) for each in kept)
    }
    for network in kept:
        off = network.source_validation and network.bridge in incomplete
        yield replace(network, source_validation=False) if off else network


def claims_of(networks: Iterable[NetworkIntent]) -> Iterator[Claim]:
    """The claims of networks."""
    for network in networks:
        yield network.owner, network.subnet
        if _translated(network):
            for external in network.external_prefixes:
                yield network.owner, external


def claims_in(table: Ruleset) -> frozenset[Claim]:
    """The claims that have rules in a table."""
    found: set[Claim] = set()
    networks = table.set(NETWORKS)
    if networks is not None and is_ours(networks):
        # a range that is no prefix was added by hand
        found |= {(e.owner, IPv6Network(e.key[0])) for e in networks.elements if "-" not in e.key[0]}
    chain = table.chain(PREFIX_IN)
    for rule in chain.owned if chain is not None else ():
        found.add((rule.owner, IPv6Network(prefixes_of(rule)[0])))
    return frozenset(found)


def _order(network: NetworkIntent) -> tuple[str, int, int, str]:
    """By owner, then by subnet; comparing numbers is faster than comparing networks."""
    return (network.owner, int(network.subnet.network_address), network.subnet.prefixlen, network.bridge)


def _take(prefix: IPv6Network, owner: str, taken: _Taken) -> None:
    taken.setdefault(prefix.prefixlen, {})[_number(prefix)] = owner


def _number(prefix: IPv6Network) -> int:
    return int(prefix.network_address) >> (prefix.max_prefixlen - prefix.prefixlen)


def _rival(prefix: IPv6Network, taken: _Taken, *, besides: str | None = None) -> str | None:
    """The owner of a prefix that contains this one, or that this one contains, and that is not ``besides``."""
    number = _number(prefix)
    for length, owners in taken.items():
        if length <= prefix.prefixlen:
            owner = owners.get(number >> (prefix.prefixlen - length))
            found = iter(() if owner is None else (owner,))
        else:
            found = (each for n, each in owners.items() if n >> (length - prefix.prefixlen) == number)
        owner = next((each for each in found if each != besides), None)
        if owner is not None:
            return owner
    return None
