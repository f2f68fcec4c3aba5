"""The operator's memory of resources: accepted specs, status, tombstones, events.

Duty: keep what must survive a restart. Never: know Docker or the source's syntax.
"""
