"""Elements of sets and maps in nftables' JSON, both ways.

Prefixes and ranges become one spelling. A part of a key that we would never write is kept as its JSON text, so that it
is seen to differ and can still be deleted.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, summarize_address_range

from dockerv6.firewall.expr import Element, ElementSet, KeyType
from dockerv6.firewall.nftables.notation import Json, canonical

_HOST_BITS = 128
_HOST = "/128"


def write_element(element: Element, of: ElementSet) -> Json:
    """An element to be added, with its owner as comment and a map's value."""
    key = write_key(element, of)
    owned: Json = {"elem": {"val": key, "comment": element.owner}} if element.owner else key
    return owned if of.data is None else [owned, _write_part(element.value, of.data)]


def write_key(element: Element, of: ElementSet) -> Json:
    """What an element is deleted by, of a map as much as of a set."""
    parts = [_write_part(part, kind) for part, kind in zip(element.key, of.key, strict=True)]
    return {"concat": parts} if len(parts) > 1 else parts[0]


def _write_part(part: str, kind: KeyType) -> Json:
    if part.startswith('{"'):
        written: Json = json.loads(part)
        return written
    match kind:
        case KeyType.PREFIX:
            return _write_prefix(part)
        case KeyType.INTERFACE:
            return part
        case KeyType.PORT | KeyType.PROTOCOL:
            return int(part) if part.isdecimal() else part


def _write_prefix(part: str) -> Json:
    address, _, length = part.partition("/")
    if not length:
        return {"range": part.split("-", 1)}
    return {"prefix": {"addr": address, "len": int(length)}} if int(length) < _HOST_BITS else address


def read_element(value: Json, key: tuple[KeyType, ...], data: KeyType | None) -> Element:
    """The inverse of writing, whatever an element may look like."""
    # dict and list, which JSON becomes, are tested much faster than Mapping and Sequence; there are many elements
    found = ""
    if data is not None and isinstance(value, list) and len(value) == 2:  # noqa: PLR2004 - a pair
        value, target = value
        found = _READ[data](target)
    owner = ""
    if isinstance(value, dict) and isinstance(body := value.get("elem"), dict):
        owner = str(body.get("comment", ""))
        value = body.get("val")
    parts = value.get("concat") if isinstance(value, dict) else None
    listed = parts if isinstance(parts, list) else [value]
    if len(listed) != len(key):
        return Element((canonical(value),) * len(key), owner, found)
    return Element(tuple([_READ[kind](part) for part, kind in zip(listed, key, strict=True)]), owner, found)


def _read_name(value: Json) -> str:
    return value if isinstance(value, str) else canonical(value)


def _read_port(value: Json) -> str:
    return str(value) if isinstance(value, int) else canonical(value)


def _read_prefix(value: Json) -> str:
    if isinstance(value, str):
        return _address(value) + _HOST
    match value:
        case {"prefix": {"addr": str(address), "len": int(length)}}:
            return f"{_address(address)}/{length}"
        case {"range": [str(first), str(last)]}:
            return _range(first, last)
        case _:
            return canonical(value)


@lru_cache(maxsize=4096)
def _range(first: str, last: str) -> str:
    networks = list(summarize_address_range(IPv6Address(first), IPv6Address(last)))
    return str(networks[0]) if len(networks) == 1 else f"{_address(first)}-{_address(last)}"


def _address(text: str) -> str:
    # inet_ntop writes IPv4-mapped and -compatible addresses with dots, Python 3.11 doesn't.
    return str(IPv6Address(text)) if "." in text else text


_READ: dict[KeyType, Callable[[Json], str]] = {
    KeyType.PREFIX: _read_prefix,
    KeyType.INTERFACE: _read_name,
    KeyType.PROTOCOL: _read_name,
    KeyType.PORT: _read_port,
}
