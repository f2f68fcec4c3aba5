"""The port to the Docker Engine: its model, its client, its events, its fake.

Duty: speak the engine's API exactly, for every version. Never: decide, nor touch the firewall.
"""
