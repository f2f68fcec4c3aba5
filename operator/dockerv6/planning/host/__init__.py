"""Plans what the host itself needs: sysctls, uplinks, NDP proxy entries, macvlan and ipvlan parents; no I/O."""
