"""YAML files to resources with positions, and the watch on their directories.

Duty: read what people wrote, whole and exactly. Never: know Docker, nor decide what a change means.
"""
