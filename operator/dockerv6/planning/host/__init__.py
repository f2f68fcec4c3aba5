"""What the host needs beside rules.

Duty: plan what the host itself needs: sysctls, uplinks, NDP proxy entries, macvlan and
ipvlan parents.

Never: do I/O, await, or read a clock.
"""
