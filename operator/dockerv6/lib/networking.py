"""Terms of networking that resources, decisions and drivers share."""

from enum import StrEnum

MAX_INTERFACE_NAME = 15
"""Bytes that the name of a network interface may have: IFNAMSIZ (include/uapi/linux/if.h) less the NUL."""


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
