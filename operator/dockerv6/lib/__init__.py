"""The ground floor: clock, backoff, delta, background tasks, prefix arithmetic.

Duty: what every package may use. Never imports another package of dockerv6, nor anything outside the standard library.
"""
