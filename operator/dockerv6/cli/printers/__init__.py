"""Output formats of commands: tables, JSON and YAML.

Duty: turn values into lines. Never: read state, or decide anything.
"""
