"""The one accept rule in the host's own filter, in whichever xtables variant holds it.

Duty: let marked flows pass other people's FORWARD. Never: write another rule there.
"""
