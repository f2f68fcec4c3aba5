"""Settings, wiring and the process: everything is built here and nowhere else.

Duty: put the pieces together. Never: decide.
"""
