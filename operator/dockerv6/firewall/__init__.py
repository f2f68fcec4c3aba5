"""What the host's packet filter should hold, and the backends that make it so.

Duty: render intent to rules, read back, apply one transaction. Never: know Docker or the resources' models.
"""
