"""Live probes: packets that are really sent, from sockets of whatever network namespace, and what came back.

Duty: send, wait a limited time, and tell what came back from where. Never: know Docker or
resources, or change the host.
"""
