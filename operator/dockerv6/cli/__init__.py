"""The command line: kubectl-like verbs, one file a verb, and their printers.

Duty: parse arguments, call the floors below, print. Never: hold logic.
"""
