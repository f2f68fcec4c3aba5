"""Docker networks: how they should be, and the steps that lead there.

Duty: plan Docker networks: their specification, their recreation with endpoints, their members, limits of the engine.

Never: do I/O, await, or read a clock. Never plan a change of a network that dockerv6 did not create.
"""
