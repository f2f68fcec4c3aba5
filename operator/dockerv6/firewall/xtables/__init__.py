"""Rules of xtables (ip6tables), in both of its variants: one rule value, one reader for each variant, libiptc.

Duty: read chains as rules, write entries. Never: decide what a rule should be.
"""
