"""The lowest layer: clock, background tasks, netlink, prefixes, the state file, time formats.

Duty: what every package may use. Never: import another package of dockerv6, or anything outside the standard library.
"""
