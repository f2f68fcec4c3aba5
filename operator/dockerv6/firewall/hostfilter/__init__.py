"""The host's own IPv6 filter: where it drops forwarded packets, and the one accept rule for our mark.

Duty: let marked flows pass the FORWARD chain of other programs. Never: write another rule there.
"""
