"""Reads YAML files into resources with positions, and watches their directories.

Duty: read all files completely and exactly. Never: know Docker, or decide what a change means.
"""
