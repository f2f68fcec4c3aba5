"""Values as text: tables, JSON, YAML, descriptions, plans.

Duty: turn what was read into what is shown. Never: read the state, or load what a format does not need.
"""
