"""From what exists to resources: Docker networks and Compose files.

Duty: decide which resource stands for a Docker network, and say what the resource does not carry over.

Never: do I/O, await, or read a clock. Never give a resource that would change a Docker network, unless that is what was
asked for.
"""
