"""The port to the host's network stack: sysctls, links, addresses, routes, change notifications.

Duty: speak netlink and procfs. Never: decide, nor know Docker.
"""
