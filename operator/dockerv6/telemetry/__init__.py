"""Logging, metrics and health.

Duty: tell people what happens. Never: decide anything.
"""
