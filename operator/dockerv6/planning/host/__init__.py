"""The host, apart from its packet filter.

Duty: plan what networks need of the host: sysctls, bridge settings, NDP proxy entries; and check its uplinks and the
parents of macvlan and ipvlan networks.

Never: do I/O, await, or read a clock. Never plan a change of interfaces or routes that dockerv6 did not create.
"""
