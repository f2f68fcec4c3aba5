"""Plans addresses: pools, subnets, conflicts, tracked prefixes and prefix translation. Values in, steps out; no I/O."""
