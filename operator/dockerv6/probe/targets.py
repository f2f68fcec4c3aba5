"""What to reach: targets that a user writes, and the routers and resolvers in files of the system."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

AnyAddress = IPv4Address | IPv6Address

_BRACKETED = re.compile(r"\[([^\]]+)\](?::(.*))?")
_NAME = re.compile(r"(?![\d.]+$)(?!.{254})(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_PORT = re.compile(r"[0-9]{1,5}")
_NAMESERVER = re.compile(rb"^nameserver[ \t]+(\S+)", re.MULTILINE)
_RTF_GATEWAY = 0x2  # linux/ipv6_route.h


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """A host outside to reach; with a port, also over TCP. ``address`` is None for a name."""

    host: str
    address: IPv6Address | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What to probe: IPv6Networks by name (empty: all), an image instead of the own one, and targets outside."""

    networks: tuple[str, ...] = ()
    image: str = ""
    targets: tuple[ProbeTarget, ...] = ()


def parse_target(text: str) -> ProbeTarget:
    """Parse ``HOST``, ``HOST:PORT``, ``2001:db8::1`` or ``[2001:db8::1]:443``.

    Raises:
        ValueError: it is none of them.
    """
    host, number = text, None
    if bracketed := _BRACKETED.fullmatch(text):
        host, number = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        host, _, number = text.partition(":")
    if number is not None and not (_PORT.fullmatch(number) and 0 < int(number) < 1 << 16):
        raise ValueError(f"{text!r}: a port is a number from 1 to 65535, as in [2001:db8::1]:443")
    port = int(number) if number is not None else None
    try:
        address = ip_address(host)
    except ValueError:
        if _NAME.fullmatch(host) and not bracketed:
            return ProbeTarget(host, None, port)
        raise ValueError(f"{text!r} is neither a host name nor an IPv6 address, with or without :PORT") from None
    if isinstance(address, IPv4Address) or not may_be_outside(address):
        raise ValueError(f"{text!r}: name a host with a global or unique local IPv6 address, without a zone")
    return ProbeTarget(host, address, port)


def may_be_outside(address: IPv6Address) -> bool:
    """Whether other hosts may have the address, and routers know the way to it."""
    local = address.is_loopback or address.is_unspecified or address.is_link_local or address.scope_id is not None
    return not (local or address.is_multicast or address.ipv4_mapped)


def next_hops(table: Path) -> Iterator[IPv6Address]:
    """The routers of the default routes (net/ipv6/route.c, rt6_info_route)."""
    for line in table.read_bytes().splitlines():  # the last column is a name, which may be any bytes
        destination, length, _, _, hop, _, _, _, flags, _ = line.split()
        if int(length, 16) == 0 and int(destination, 16) == 0 and int(flags, 16) & _RTF_GATEWAY:
            yield IPv6Address(int(hop, 16))


def nameservers(file: Path) -> tuple[AnyAddress, ...]:
    """The nameservers in a resolv.conf(5); what is no address is left out, as by resolvers."""
    try:
        written = _NAMESERVER.findall(file.read_bytes())
    except FileNotFoundError:
        return ()
    found = []
    for each in written:
        with suppress(ValueError):
            found.append(ip_address(os.fsdecode(each)))
    return tuple(found)
