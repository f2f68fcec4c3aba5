"""Which addresses a network gets, and why.

Duty: plan addresses: pools, subnets, conflicts, tracked prefixes and prefix translation.

Never: do I/O, await, or read a clock. Never write to the ledger: a plan has steps for that.
"""
