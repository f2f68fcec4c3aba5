"""Logging, metrics and health.

Duty: report what happens. Never: decide.
"""
