"""The ruleset in a table of our own, and a reader of other tables, over netlink.

Duty: observe, check, apply and sweep table inet dockerv6. Never: decode what others wrote by a library (ADR 0031).
"""
