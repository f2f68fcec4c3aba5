"""Plans Docker networks: their specification, their endpoints and members. Values in, steps out; no I/O."""
