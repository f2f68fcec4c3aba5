"""dockerv6: keeps a Docker host converged on declared IPv6 networks.

Duty: name the package. Imports nothing, so that importing any part costs only that part.
"""
