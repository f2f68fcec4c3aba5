"""The firewall, as resources ask for it.

Duty: plan what each resource contributes, which container gets which published port, and accept rules in the host's
own filter.

Never: do I/O, await, or read a clock. Never decide how a rule is written: `firewall.render` and the backends do.
"""
