"""Chains of other programs, from messages that are made here; tests/host reads the real kernel's."""

import pytest

from dockerv6.firewall.nftables.foreign import decode_chain
from dockerv6.firewall.nftables.kernel import attributes_of, nested, number, text

INET, IPV4, ARP, NETDEV, BRIDGE, IPV6 = 1, 2, 3, 5, 7, 10


@pytest.mark.parametrize(
    ("family", "hook", "name"),
    [
        (INET, 2, "forward"),
        (INET, 5, "ingress"),
        (IPV4, 0, "prerouting"),
        (IPV6, 1, "input"),
        (NETDEV, 0, "ingress"),
        (NETDEV, 1, "egress"),
        (NETDEV, 2, "2"),
        (ARP, 0, "input"),
        (ARP, 1, "output"),
        (ARP, 3, "3"),
        (BRIDGE, 2, "forward"),
        (BRIDGE, 5, "5"),
        (99, 7, "7"),
    ],
)
def test_hooks_are_named_as_their_family_numbers_them(family: int, hook: int, name: str) -> None:
    chain = text(1, "t") + text(3, "c") + nested(4, number(1, hook), number(2, 0)) + text(7, "filter")
    assert decode_chain(family, dict(attributes_of(chain))).hook == name
