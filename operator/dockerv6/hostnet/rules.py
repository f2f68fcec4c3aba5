"""IPv6 routing policy rules over rtnetlink (ip-rule(8)). `rules` blocks.

Sources: linux/fib_rules.h; net/core/fib_rules.c (fib_nl_fill_rule).
"""

import errno
import struct
from ipaddress import IPv6Network
from socket import AF_INET6

from dockerv6.hostnet.model import RoutingRule
from dockerv6.lib.netlink import NETLINK_ROUTE, Buffer, attributes, dump

_RTM_GETRULE = 34
_HEADER = struct.Struct("=BBBBBxxBI")  # fib_rule_hdr: family, dst len, src len, tos, table, action, flags
_U32 = struct.Struct("=I")
_TO_TABLE = 1  # FR_ACT_TO_TBL
_INVERT = 2  # FIB_RULE_INVERT
_UNSET = 0xFFFFFFFF
_FRA_DST, _FRA_PRIORITY, _FRA_SUPPRESS_PREFIXLEN, _FRA_TABLE = 1, 6, 14, 15
_CONDITIONS = {
    2: "from",
    3: "iif",
    10: "fwmark",
    17: "oif",
    19: "l3mdev",
    20: "uidrange",
    22: "ipproto",
    23: "sport",
    24: "dport",
}
"""Attributes that restrict a rule to some packets, with their names in ip-rule(8)."""


def rules() -> tuple[RoutingRule, ...]:
    """The IPv6 rules that choose a table, by priority; none on a kernel without policy routing.

    Raises:
        OSError: the kernel's error.
    """
    try:
        answer = dump(NETLINK_ROUTE, _RTM_GETRULE, _HEADER.pack(AF_INET6, 0, 0, 0, 0, 0, 0))
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
            return ()
        raise
    found = (decode_rule(buffer, start, end) for buffer, start, end in answer)
    return tuple(sorted((rule for rule in found if rule is not None), key=lambda rule: rule.priority))


def decode_rule(buffer: Buffer, start: int, end: int) -> RoutingRule | None:
    """One message of a dump; None for a rule that chooses no table (unreachable, goto)."""
    _, length, _, tos, table, action, flags = _HEADER.unpack_from(buffer, start)
    conditions = {name for name, given in (("tos", tos), ("not", flags & _INVERT)) if given}
    priority, destination, suppressed = 0, None, None
    for kind, value, stop in attributes(buffer, start + _HEADER.size, end):
        if kind in _CONDITIONS:
            conditions.add(_CONDITIONS[kind])
        elif kind == _FRA_DST:
            destination = IPv6Network((bytes(buffer[value:stop]), length))
        elif kind == _FRA_PRIORITY:
            (priority,) = _U32.unpack_from(buffer, value)
        elif kind == _FRA_TABLE:
            (table,) = _U32.unpack_from(buffer, value)
        elif kind == _FRA_SUPPRESS_PREFIXLEN:
            (number,) = _U32.unpack_from(buffer, value)
            suppressed = None if number == _UNSET else number
    if action != _TO_TABLE:
        return None
    return RoutingRule(priority, table, destination, frozenset(conditions), suppressed)
