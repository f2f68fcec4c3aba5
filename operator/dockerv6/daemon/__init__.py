"""Settings, wiring and the process: the only place where adapters are built.

Duty: put the parts together. Never: decide.
"""
