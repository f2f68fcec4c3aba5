"""Small pure pieces that every floor uses: time, backoff, deltas, prefixes.

Duty: be correct and boring. Never: import anything of dockerv6.
"""
