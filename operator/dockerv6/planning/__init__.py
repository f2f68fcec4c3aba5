"""How dockerv6 decides: desired x observed x ledger to a plan of typed steps.

Duty: be pure, total and readable. Never: do I/O, await, or read a clock.
"""
