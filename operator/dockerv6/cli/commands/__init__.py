"""The verbs, one module each; every module has its click command as ``command``.

Duty: read arguments, call the floors below, print. Never: decide anything about networks.
"""
