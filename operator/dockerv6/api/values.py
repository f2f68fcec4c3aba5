"""Types of single values: addresses, prefixes, interface names, durations, ports."""

import re
from collections.abc import Callable
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    NetmaskValueError,
    ip_address,
)
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from dockerv6.api.meta import invalid_value
from dockerv6.lib.networking import MAX_INTERFACE_NAME, InterfaceName, interface_name
from dockerv6.lib.timeformat import format_duration, parse_duration

_INTERFACE = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)

_SPECIAL = (
    (IPv6Network("::/128"), "the unspecified address"),
    (IPv6Network("::1/128"), "the loopback address"),
    (IPv6Network("::ffff:0:0/96"), "IPv4-mapped addresses"),
    (IPv6Network("fe80::/10"), "link-local addresses"),
    (IPv6Network("ff00::/8"), "multicast addresses"),
)
"""RFC 4291 §2.4: ranges that can't be the subnet of a network."""


def _text(value: object, wanted: str) -> str:
    if not isinstance(value, str):
        raise invalid_value(f"must be {wanted} in a string, not {quote(value)}", "put it in quotes")
    return value


def quote(value: object) -> str:
    """A value of a document for a message, cut to 60 characters."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    limit = 60
    return text if len(text) <= limit else f"{text[:limit]}…"


def _prefix6(value: object) -> IPv6Network:
    if isinstance(value, IPv6Network):
        return value
    text = _text(value, "an IPv6 prefix")
    try:
        # IPv6Network would read a missing length as /128, and keep a zone.
        if "/" in text and "%" not in text:
            return IPv6Network(text)
    except ValueError:
        pass
    raise _invalid_prefix6(text)


def _invalid_prefix6(text: str) -> PydanticCustomError:
    """The error for text that is not an IPv6 prefix in CIDR notation with zero host bits."""
    example = "write an IPv6 prefix such as fd00:1:2:3::/64"
    bare, slash, _ = text.partition("/")
    try:
        address = IPv6Address(bare)
    except AddressValueError as error:
        if _is_address(bare):
            return invalid_value(f"{text!r} is an IPv4 prefix", example)
        return invalid_value(f"{text!r} is not an IPv6 prefix: {error}", example)
    if address.scope_id is not None:
        return invalid_value(f"{text!r} has a zone ({address.scope_id})", "remove it: a prefix has no zone")
    if not slash:
        guess = IPv6Network((int(address), 64), strict=False)
        return invalid_value(f"{text!r} has no prefix length", f"did you mean {guess}?")
    try:
        network = IPv6Network(text, strict=False)
    except ValueError:
        return invalid_value(f"{text!r} has no valid prefix length", "write a length from 0 to 128")
    return invalid_value(f"{text!r} has host bits set", f"did you mean {network}?")


def _address6(value: object) -> IPv6Address:
    if isinstance(value, IPv6Address):
        return value
    text = _text(value, "an IPv6 address")
    try:
        address = IPv6Address(text)
    except AddressValueError as error:
        bare, slash, _ = text.partition("/")
        if slash and _is_address(bare):
            raise invalid_value(f"{text!r} is a prefix, not an address", f"did you mean {bare}?") from error
        if _is_address(text):
            raise invalid_value(
                f"{text!r} is an IPv4 address", "write an IPv6 address such as fd00:1:2:3::1"
            ) from error
        if text.startswith("[") and text.endswith("]") and _is_address(text[1:-1]):
            raise invalid_value(f"{text!r} has brackets", f"did you mean {text[1:-1]}?") from error
        raise invalid_value(f"{text!r} is not an IPv6 address: {error}", "write one such as fd00:1:2:3::1") from error
    if address.scope_id is not None:
        raise invalid_value(f"{text!r} has a zone ({address.scope_id})", f"write {text.partition('%')[0]}")
    return address


def _address_or_prefix6(value: object) -> IPv6Network:
    if isinstance(value, IPv6Network):
        return value
    if isinstance(value, IPv6Address):
        return IPv6Network(value)
    text = _text(value, "an IPv6 address or prefix")
    return _prefix6(text) if "/" in text else IPv6Network(_address6(text))


def _prefix4(value: object) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    text = _text(value, "an IPv4 prefix")
    if ":" in text:
        raise invalid_value(f"{text!r} is an IPv6 prefix", "write an IPv4 prefix such as 192.0.2.0/24")
    if "/" not in text:
        raise invalid_value(f"{text!r} has no prefix length", "write an IPv4 prefix such as 192.0.2.0/24")
    try:
        network = IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError) as error:
        raise invalid_value(f"{text!r} is not an IPv4 prefix: {error}", "write one such as 192.0.2.0/24") from error
    if str(network.network_address) != text.partition("/")[0]:
        raise invalid_value(f"{text!r} has host bits set", f"did you mean {network}?")
    return network


def _address4(value: object) -> IPv4Address:
    if isinstance(value, IPv4Address):
        return value
    text = _text(value, "an IPv4 address")
    try:
        return IPv4Address(text)
    except AddressValueError as error:
        raise invalid_value(f"{text!r} is not an IPv4 address: {error}", "write one such as 192.0.2.1") from error


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def reserved_range(prefix: IPv6Network) -> tuple[IPv6Network, str] | None:
    """The reserved range of RFC 4291 §2.4 that a prefix overlaps, and the name of the range; None without overlap."""
    return next(((special, name) for special, name in _SPECIAL if special.overlaps(prefix)), None)


def _subnet6(value: object) -> IPv6Network:
    prefix = _prefix6(value)
    special = reserved_range(prefix)
    if special:
        raise invalid_value(
            f"{prefix} overlaps {special[0]} ({special[1]})",
            "use a unique local prefix (fd00::/8, RFC 4193) or a global one that is routed to this host",
        )
    return prefix


def _unicast6(value: object) -> IPv6Address:
    address = _address6(value)
    special = reserved_range(IPv6Network(address))
    if special:
        raise invalid_value(f"{address} is in {special[0]} ({special[1]})", "use a unique local or global address")
    return address


def is_interface(name: str) -> bool:
    """Whether a resource may use the name for an interface."""
    return _INTERFACE.fullmatch(name) is not None and interface_name(name) is not None


def _interface(name: str) -> str:
    if _INTERFACE.fullmatch(name) is None:
        raise invalid_value(
            f"{quote(name)} is not a valid interface name: use letters, digits, '_', '.' and '-'",
            "write a name such as eth0; `ip link` lists the interfaces of this host",
        )
    if len(name) > MAX_INTERFACE_NAME:
        raise invalid_value(
            f"{quote(name)} has {len(name)} bytes; the kernel allows {MAX_INTERFACE_NAME} for an interface name",
            f"shorten it, for example to {name[:MAX_INTERFACE_NAME]}",
        )
    if interface_name(name) is None:
        raise invalid_value(
            f"{name!r} is reserved by the kernel: it can't be the name of an interface",
            "write another name, such as eth0; `ip link` lists the interfaces of this host",
        )
    return name


def _duration(value: object) -> float:
    if isinstance(value, int) and not isinstance(value, bool):
        if value == 0:
            return 0.0
        raise invalid_value(f"{value} has no unit", f"write {value}s, or another unit: d, h, m, s, ms")
    text = _text(value, "a duration")
    try:
        return parse_duration(text)
    except ValueError as error:
        raise invalid_value(str(error), "write a number with its unit, such as 1h, 90s or 1h30m") from error


def unquoted_number(example: str) -> Callable[[object], object]:
    """A validator that refuses a number in quotes. ``example`` is part of the remedy."""

    def check(value: object) -> object:
        if isinstance(value, str):
            raise invalid_value(f"must be a number, not the string {value!r}", f"write {example} without quotes")
        return value

    return check


_STRING = {"type": "string"}

Prefix6 = Annotated[
    IPv6Network, PlainValidator(_prefix6), PlainSerializer(str), WithJsonSchema({**_STRING, "format": "cidr"})
]
"""Any IPv6 prefix with zero host bits."""

Subnet6 = Annotated[
    IPv6Network, PlainValidator(_subnet6), PlainSerializer(str), WithJsonSchema({**_STRING, "format": "cidr"})
]
"""An IPv6 prefix of unicast addresses for containers."""

Address6 = Annotated[
    IPv6Address, PlainValidator(_address6), PlainSerializer(str), WithJsonSchema({**_STRING, "format": "ipv6"})
]
"""Any IPv6 address without a zone."""

Unicast6 = Annotated[
    IPv6Address, PlainValidator(_unicast6), PlainSerializer(str), WithJsonSchema({**_STRING, "format": "ipv6"})
]
"""A unique local or global IPv6 address."""


def _without_full_length(prefix: IPv6Network) -> str:
    return str(prefix.network_address) if prefix.prefixlen == prefix.max_prefixlen else str(prefix)


AddressOrPrefix6 = Annotated[
    IPv6Network, PlainValidator(_address_or_prefix6), PlainSerializer(_without_full_length), WithJsonSchema(_STRING)
]
"""An IPv6 prefix, or an address, which is read as its /128."""

Prefix4 = Annotated[
    IPv4Network, PlainValidator(_prefix4), PlainSerializer(str), WithJsonSchema({**_STRING, "format": "cidr"})
]
Address4 = Annotated[
    IPv4Address, PlainValidator(_address4), PlainSerializer(str), WithJsonSchema({**_STRING, "format": "ipv4"})
]

InterfaceField = Annotated[
    InterfaceName,
    AfterValidator(_interface),
    WithJsonSchema({**_STRING, "minLength": 1, "maxLength": MAX_INTERFACE_NAME, "pattern": f"^{_INTERFACE.pattern}$"}),
]
"""The name of a network interface: what the kernel takes (`interface_name`), narrowed to `[A-Za-z0-9_.-]`."""

Duration = Annotated[
    float,
    PlainValidator(_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({**_STRING, "pattern": r"^(0|([0-9]+(\.[0-9]+)?(ms|[dhms]))+)$"}),
]
"""Seconds, written as a number with a unit."""

Flag = Annotated[bool, Strict()]
Port = Annotated[int, Strict(), Field(ge=1, le=65535), BeforeValidator(unquoted_number("a port such as 8080"))]

SHORTEST_SUBNET = 32
"""A provider gets a /32 for all its customers. A shorter subnet on one bridge would take the addresses of others."""

PrefixLength = Annotated[int, Strict(), Field(ge=1, le=126), BeforeValidator(unquoted_number("a length such as 64"))]
"""The prefix length of a part of a prefix that has room for a subnet."""

SubnetLength = Annotated[
    int, Strict(), Field(ge=SHORTEST_SUBNET, le=126), BeforeValidator(unquoted_number("a length such as 64"))
]
"""The prefix length of a subnet. A subnet longer than /126 has no room for a gateway and a container."""
