"""Whether iptables-legacy is in use at all, asked without touching it."""

from dockerv6.firewall.hostfilter.chains import TABLE
from dockerv6.firewall.xtables.legacy import used_tables


def legacy_in_use() -> bool:
    """Whether the legacy IPv6 filter table exists in this network namespace."""
    return TABLE in used_tables()
