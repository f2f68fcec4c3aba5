"""Terms of networking that resources, decisions and drivers share."""

from enum import StrEnum
from ipaddress import IPv6Network
from typing import NewType

MAX_INTERFACE_NAME = 15
"""Bytes that the name of a network interface may have: IFNAMSIZ (include/uapi/linux/if.h) less the NUL."""

ANYWHERE = IPv6Network("::/0")
MINIMUM_MTU = 1280
"""Bytes that every link with IPv6 must pass (RFC 8200, 5)."""

InterfaceName = NewType("InterfaceName", str)
"""A name that an interface can have. `interface_name` makes it of a name from outside."""

_NOT_IN_NAMES = frozenset(b"\0/:\t\n\v\f\r \xa0")
_RESERVED = frozenset({"", ".", "..", "all", "default"})


def interface_name(text: str) -> InterfaceName | None:
    """The name of an interface; None: the kernel refuses it.

    See dev_valid_name (net/core/dev.c), where isspace is that of lib/ctype.c, and sysctl_dev_name_is_allowed
    (net/ipv4/devinet.c, since 4.15). All other bytes are allowed, those that are not UTF-8 as surrogates (PEP
    383). Rules hold them as they are, so `*`, `eth+` and `!eth0` are names like others.
    """
    try:
        raw = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # a half of a surrogate pair, which stands for no byte
        return None
    valid = len(raw) <= MAX_INTERFACE_NAME and text not in _RESERVED and _NOT_IN_NAMES.isdisjoint(raw)
    return InterfaceName(text) if valid else None


class EgressMode(StrEnum):
    """What happens to the source address of a packet that leaves a network."""

    MASQUERADE = "Masquerade"  # becomes the outgoing interface's address (NAT66)
    SNAT = "SNAT"  # becomes one chosen address
    PREFIX_TRANSLATION = "PrefixTranslation"  # gets another prefix, and keeps its host part
    ROUTED = "Routed"  # stays; the packet is let out
    NONE = "None"  # stays; dockerv6 does nothing


class TransportProtocol(StrEnum):
    """Transport protocols that have ports."""

    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"
