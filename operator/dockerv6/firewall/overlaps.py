"""Which networks and outer prefixes stand in one another's way: the kernel would refuse everybody's. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv6Network
from typing import NamedTuple

from dockerv6.firewall.model import EgressMode, NetworkIntent


class Apart(NamedTuple):
    """Networks that overlap no other, with outer prefixes that overlap nobody's, by owner's name.

    Attributes:
        lost: owners who have a network that is left out, and who was before them.
        outer_lost: owners who have an outer prefix that is left out, and whose subnet or outer prefix it overlaps.
    """

    networks: tuple[NetworkIntent, ...]
    lost: Mapping[str, str]
    outer_lost: Mapping[str, str]


_Taken = dict[int, dict[int, str]]
"""Owners by prefix length and number."""


@lru_cache(maxsize=2)
def resolve(networks: tuple[NetworkIntent, ...]) -> Apart:
    """The networks without those, and without those outer prefixes, that overlap an earlier one by owner's name.

    Subnets come before outer prefixes, whoever's: containers have their addresses already. Kept, since whoever renders
    an intent also wants to know who was left out of it.
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
    outer_lost: dict[str, str] = {}
    outers: _Taken = {}
    return Apart(tuple(_with_outer(each, subnets, outers, outer_lost) for each in kept), lost, outer_lost)


def _with_outer(network: NetworkIntent, subnets: _Taken, outers: _Taken, lost: dict[str, str]) -> NetworkIntent:
    """The network with the outer prefixes that it may have.

    A former one that it may not have is left out alone. Without the first nothing could be given to what leaves, and
    a former one in its place would be none of its own any more: then it has none.
    """
    if network.egress is not EgressMode.PREFIX_TRANSLATION or network.internal:
        return network
    kept: list[IPv6Network] = []
    for number, outer in enumerate(dict.fromkeys(network.outer)):
        rival = _rival(outer, outers) or (_rival(outer, subnets) if outer != network.subnet else None)
        if rival is None and outer.prefixlen == network.subnet.prefixlen:
            kept.append(outer)
            continue
        if rival is not None:
            lost[network.owner] = rival
        if number == 0:
            break
    for outer in kept:
        _take(outer, network.owner, outers)
    return network if tuple(kept) == network.outer else replace(network, outer=tuple(kept))


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
