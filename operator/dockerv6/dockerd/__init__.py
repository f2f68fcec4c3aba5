"""The port to the Docker Engine: its model, its API, its events.

Duty: speak the Engine API correctly with every engine version. Never: decide, or touch the firewall.
"""
