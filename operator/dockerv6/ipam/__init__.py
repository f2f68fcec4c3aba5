"""Allocation of subnets: the choice of a block, and the ledger.

Duty: choose purely, store durably. Never: know Docker, or read the clock while choosing.
"""
