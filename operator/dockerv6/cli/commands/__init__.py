"""The commands, one module per verb. Each module has its click command as ``command``.

Duty: parse arguments, call the packages below, print. Never: decide anything about networks.
"""
