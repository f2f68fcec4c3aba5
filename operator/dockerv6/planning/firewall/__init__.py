"""What resources ask of the firewall.

Duty: plan what each resource contributes to the firewall, and which
container gets which published port.

Never: do I/O, await, or read a clock.
"""
