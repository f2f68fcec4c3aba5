"""The ruleset in a table of our own, through libnftables.

Duty: observe, check, apply and sweep table inet dockerv6. Never: touch another table.
"""
