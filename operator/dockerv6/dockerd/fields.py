"""JSON of unknown shape: a field that is missing or has another type reads as empty. Pure.

A response as a whole has to be what was asked for. A proxy, another server, or a truncated response is worse than none:
read as an empty list, it would mean that nothing exists, and what exists would be forgotten or created again. null is
refused too: for an empty list 20.10, 26.1 and 28.5 send [] (getNetworksList and reduceContainers in moby), as the API
has promised since 1.13.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from dockerv6.dockerd.port import EngineUnavailable
from dockerv6.lib.text import escaped


def member(value: object, key: str) -> object:
    """The field of a mapping; None: there is none."""
    return value.get(key) if isinstance(value, dict) else None


def mapping(value: object) -> Mapping[str, object]:
    """The mapping; empty: it is none."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """The list; empty: it is none."""
    return value if isinstance(value, list) else []


def text(value: object, key: str) -> str:
    """A field that is a text."""
    found = member(value, key)
    return found if isinstance(found, str) else ""


def texts(value: object) -> dict[str, str]:
    """A mapping of texts; other values as texts."""
    return {key: str(found) for key, found in mapping(value).items()}


def boolean(value: object, key: str, *, default: bool = False) -> bool:
    """A field that is true or false."""
    found = member(value, key)
    return found if isinstance(found, bool) else default


def number(value: object, key: str) -> int:
    """A field that is a number."""
    found = member(value, key)
    return found if isinstance(found, int) else 0


def ipv4(value: object, key: str) -> IPv4Address | None:
    """A field that is an IPv4 address, with or without a prefix length."""
    found = address(text(value, key))
    return found if isinstance(found, IPv4Address) else None


def ipv6(value: object, key: str) -> IPv6Address | None:
    """A field that is an IPv6 address, with or without a prefix length."""
    found = address(text(value, key))
    return found if isinstance(found, IPv6Address) else None


# A resync of hundreds of networks parses the same few strings again and again: it was most of its cost.
@lru_cache(maxsize=4096)
def prefix(text: str) -> IPv4Network | IPv6Network | None:
    """Parse a subnet, with or without host bits; None when it is not one."""
    with suppress(ValueError):
        return ip_network(text, strict=False) if "%" not in text else None
    return None


@lru_cache(maxsize=4096)
def address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address, with or without a prefix length; None when it is not one, or has a zone."""
    with suppress(ValueError):
        found = ip_address(text.partition("/")[0])
        if isinstance(found, IPv4Address) or found.scope_id is None:
            return found
    return None


_SHOWN = 80  # characters of a response that is not the engine's


def listing(response: object, what: str) -> list[object]:
    """The items of a response that is a list.

    Args:
        response: decoded JSON.
        what: it lists, such as "networks".

    Raises:
        EngineUnavailable: it is not a list.
    """
    if not isinstance(response, list):
        raise _not_the_engines(f"a list of {what}", response)
    return response


def require(response: object, field: str, what: str) -> object:
    """The response, which is an object with that field, as every engine sends it.

    Raises:
        EngineUnavailable: it is not.
    """
    if not text(response, field):
        raise _not_the_engines(what, response)
    return response


def _not_the_engines(expected: str, response: object) -> EngineUnavailable:
    found = escaped(json.dumps(response)[:_SHOWN])
    return EngineUnavailable(f"the Docker Engine, or a proxy before it, did not send {expected}, but {found}")
