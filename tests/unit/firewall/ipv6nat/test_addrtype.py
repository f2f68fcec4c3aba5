"""The match's bytes. The dump itself runs in tests/host/test_ipv6nat.py."""

import struct

import pytest

from dockerv6.firewall.ipv6nat.addrtype import in_entry

LOCAL, UNICAST = 4, 2


def entry(name: bytes, *types: int) -> bytes:
    """The end of an ip6t_entry with one match of 40 bytes."""
    return bytes(168) + struct.pack("=H29sB", 40, name, 1) + struct.pack("=HHI", *types, 0)


@pytest.mark.parametrize(
    ("rule", "side"),
    [
        (entry(b"addrtype", 0, LOCAL), "dst"),
        (entry(b"addrtype", LOCAL, 0), "src"),
        (entry(b"addrtype", LOCAL, LOCAL), "?"),
        (entry(b"addrtype", 0, UNICAST), "?"),
        (entry(b"addrtype", 0, LOCAL)[:-8], "?"),
        (entry(b"conntrack", 0, LOCAL), ""),
        (b"", ""),
    ],
)
def test_a_rule_of_iptables_legacy_says_which_address_is_local(rule: bytes, side: str) -> None:
    assert in_entry(rule) == side
