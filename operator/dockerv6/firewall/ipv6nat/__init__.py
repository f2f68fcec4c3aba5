"""docker-ipv6nat on this host, as far as a migration needs it: detected, distinguished from the engine, removed.

Duty: find what is docker-ipv6nat's, and remove exactly that. Never: remove what an engine may have written.
"""
