"""Docker networks as they should be, and the steps that lead there.

Duty: plan Docker networks: their specification, their endpoints and their members.

Never: do I/O, await, or read a clock.
"""
