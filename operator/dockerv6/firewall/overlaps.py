"""Which networks and external prefixes stand in one another's way: the kernel would refuse everybody's. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv6Network
from typing import NamedTuple

from dockerv6.firewall.model import NetworkIntent
from dockerv6.lib.networking import EgressMode


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
def resolve(networks: tuple[NetworkIntent, ...]) -> SeparatedNetworks:
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
