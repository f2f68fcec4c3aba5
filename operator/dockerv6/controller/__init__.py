"""Observe, plan, apply, report: the loop body for each resource.

Duty: carry out plans against the ports. Never: hold rules of its own.
"""
