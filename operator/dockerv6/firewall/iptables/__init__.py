"""The firewall on iptables-legacy: own chains in the tables mangle and nat, through python-iptables (libiptc).

Duty: compile a ruleset for xtables, commit it table by table, read it back. Never: change a rule that is not ours.
"""
