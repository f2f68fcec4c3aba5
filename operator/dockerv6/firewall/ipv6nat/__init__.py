"""docker-ipv6nat on this host, as far as a migration needs it: found, told from the engine's rules, removed on request.

Duty: find what is docker-ipv6nat's, and remove exactly that. Never: remove what an engine may have written.
"""
