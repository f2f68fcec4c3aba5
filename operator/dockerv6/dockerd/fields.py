"""Reading decoded JSON of unknown shape. Pure; what isn't there, or isn't what it should be, reads as empty."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def member(value: object, key: str) -> object:
    """Give an object's member; None where there is none."""
    return value.get(key) if isinstance(value, dict) else None


def mapping(value: object) -> Mapping[str, object]:
    """Give an object; empty for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """Give an array; empty for anything else."""
    return value if isinstance(value, list) else []


def text(value: object, key: str) -> str:
    """Give a member that is a string, else ""."""
    found = member(value, key)
    return found if isinstance(found, str) else ""


def texts(value: object) -> dict[str, str]:
    """Give an object with its members as strings."""
    return {key: str(found) for key, found in mapping(value).items()}


def truth(value: object, key: str, *, default: bool = False) -> bool:
    """Give a member that is a boolean, else the default."""
    found = member(value, key)
    return found if isinstance(found, bool) else default


def number(value: object, key: str) -> int:
    """Give a member that is an integer, else 0."""
    found = member(value, key)
    return found if isinstance(found, int) else 0


# A resync of hundreds of networks reads the same few strings over and over, and parsing was most of its cost.
@lru_cache(maxsize=4096)
def network(written: str) -> IPv4Network | IPv6Network | None:
    """Parse a subnet, with or without host bits; None when it is none."""
    with suppress(ValueError):
        return ip_network(written, strict=False)
    return None


@lru_cache(maxsize=4096)
def address(written: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, with or without a prefix length; None when it is none."""
    with suppress(ValueError):
        return ip_address(written.partition("/")[0])
    return None


def ipv4(written: str) -> IPv4Address | None:
    """Parse an IPv4 address; None when it is none."""
    found = address(written)
    return found if isinstance(found, IPv4Address) else None


def ipv6(written: str) -> IPv6Address | None:
    """Parse an IPv6 address; None when it is none."""
    found = address(written)
    return found if isinstance(found, IPv6Address) else None
