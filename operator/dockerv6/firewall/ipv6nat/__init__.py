"""docker-ipv6nat's rules and process on this host: found, told from the engine's own, removed on request.

Duty: say what is docker-ipv6nat's, and take exactly that away. Never: remove what an engine may have written.
"""
