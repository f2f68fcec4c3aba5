"""The firewall on iptables-legacy: own chains in the tables mangle and nat, through python-iptables (libiptc).

Duty: say a ruleset in xtables' words, commit it table by table, read it back. Never: touch what is not ours.
"""
