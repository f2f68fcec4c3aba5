"""Observe, plan, execute, report: one reconcile for each kind of resource.

Duty: execute plans against the ports, and report. Never: decide; the rules are in `planning`.
"""
