"""The resources of the benchmarks: N networks that differ only in their name and IPv4 subnet."""

from __future__ import annotations

import json
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# engines have address pools for 31 networks; these addresses are reserved for benchmarks (RFC 2544)
_IPV4 = IPv4Network("198.18.0.0/15")
_IPV4_LENGTH = 28


def ipv4_subnet(number: int) -> str:
    """A small IPv4 subnet for the network of that number."""
    first = int(_IPV4.network_address) + (number << (32 - _IPV4_LENGTH))
    return str(IPv4Network((first, _IPV4_LENGTH)))


def foreign_prefix(number: int) -> IPv6Network:
    """The IPv6 subnet of the foreign network of that number."""
    return IPv6Network(((0xFD00_0000_00BE << 80) + (number << 64), 64))


def name(number: int) -> str:
    """The name of the network of that number."""
    return f"net-{number:05d}"


def network(number: int) -> dict[str, object]:
    """A typical resource, with an IPv4 subnet."""
    return resource(name(number), {"ipv4": {"subnet": ipv4_subnet(number)}})


def resource(name: str, spec: Mapping[str, object]) -> dict[str, object]:
    """An IPv6Network."""
    return {
        "apiVersion": "dockerv6.io/v1alpha1",
        "kind": "IPv6Network",
        "metadata": {"name": name},
        "spec": dict(spec),
    }


def policy(name: str) -> dict[str, object]:
    """An IPv6Policy for every network with IPv6."""
    return {**resource(name, {}), "kind": "IPv6Policy"}


def pool(name: str, spec: Mapping[str, object]) -> dict[str, object]:
    """An IPv6Pool."""
    return {**resource(name, spec), "kind": "IPv6Pool"}


def text(document: Mapping[str, object]) -> str:
    """The resource in block-style YAML."""
    return "\n".join(_block(document, 0)) + "\n"


def _block(mapping: Mapping[str, object], depth: int) -> list[str]:
    lines = []
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            lines += [f"{'  ' * depth}{key}:", *_block(value, depth + 1)]
        else:
            lines.append(f"{'  ' * depth}{key}: {json.dumps(value)}")
    return lines
