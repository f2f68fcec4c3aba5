"""Where in a hook our chains are (linux/netfilter_ipv6.h, nf_ip6_hook_priorities); smaller is earlier."""

BEFORE_TRACKING = -300
"""NF_IP6_PRI_RAW; connection tracking is at -200."""

GUARD = -150
"""NF_IP6_PRI_MANGLE: flows are tracked, nothing is translated yet."""

DSTNAT_JUST_BEFORE = -101
"""`dstnat - 1`; netfilter's NF_IP6_PRI_NAT_DST is -100."""

SRCNAT_JUST_BEFORE = 99
"""`srcnat - 1`; netfilter's NF_IP6_PRI_NAT_SRC is 100."""

SRCNAT_JUST_AFTER = 101
"""In the input hook the answers' sources have been translated back by then."""

FILTER_JUST_BEFORE = -1
"""`filter - 1`; NF_IP6_PRI_FILTER is 0."""

AFTER_FILTERS = 100
"""In the forward hook: firewalld filters at 10, security tables at 50."""
