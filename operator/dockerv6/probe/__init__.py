"""Live probes: real packets from sockets of any network namespace, and what came back.

Duty: send, wait for a limited time, and report what came back from where. Never: know Docker or resources, or change
the host.
"""
