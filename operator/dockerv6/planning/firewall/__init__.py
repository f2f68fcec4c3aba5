"""Plans what each resource contributes to the firewall and which container gets which published port; no I/O."""
