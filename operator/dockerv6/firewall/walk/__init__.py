"""Follows a representative flow through every filter of the host.

Duty: tell whether the flow passes, which rule drops it, or which match can't be decided. Never: I/O, or a change.
"""
