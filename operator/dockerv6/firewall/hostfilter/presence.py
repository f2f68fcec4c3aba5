"""Whether iptables-legacy is in use at all, asked without touching it."""

from pathlib import Path

from dockerv6.firewall.hostfilter.chains import TABLE

NAMES = Path("/proc/thread-self/net/ip6_tables_names")
"""The legacy tables of this thread's network namespace that somebody has used; looking at a table would make it."""


def legacy_in_use() -> bool:
    """Whether the legacy IPv6 filter table exists in this network namespace."""
    try:
        return TABLE in NAMES.read_text(encoding="ascii").split()
    except OSError:  # a kernel without ip6_tables
        return False
