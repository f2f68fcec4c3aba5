"""Durable state of resources: accepted specs, statuses, tombstones, events and records.

Duty: keep what must survive a restart. Never: know Docker or the source's syntax.
"""
