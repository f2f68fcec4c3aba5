"""The ledger as the command line reads it: beside a running daemon or without one, writing nothing."""

from pathlib import Path

from dockerv6.ipam.ledger import Allocation, PoolPrefix
from dockerv6.ipam.rows import SCHEMA, all_allocations, all_pools
from dockerv6.lib.statefile import read_state


def read_allocations(path: Path) -> tuple[Allocation, ...]:
    """Every allocation in the state file, ordered by prefix.

    Raises:
        NoState: there is no state file.
        StateFileError: it can't be read.
    """
    return read_state(path, SCHEMA, all_allocations) or ()


def read_pool_prefixes(path: Path) -> tuple[PoolPrefix, ...]:
    """The generated prefixes in the state file, ordered by pool; raises as `read_allocations` does."""
    return read_state(path, SCHEMA, all_pools) or ()
