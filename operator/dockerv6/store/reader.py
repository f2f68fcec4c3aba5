"""The store as the command line reads it: beside a running daemon or without one, writing nothing."""

from pathlib import Path

from dockerv6.lib.statefile import read_state
from dockerv6.store.model import Event, StoredObject
from dockerv6.store.rows import SCHEMA, select_events, select_objects


def read_objects(path: Path, kind: str | None = None, name: str | None = None) -> tuple[StoredObject, ...]:
    """Objects in the state file, ordered by kind and name.

    Raises:
        NoState: there is no state file.
        StateFileError: it can't be read.
    """
    return read_state(path, SCHEMA, lambda connection: select_objects(connection, kind, name)) or ()


def read_events(path: Path, kind: str | None = None, name: str | None = None) -> tuple[Event, ...]:
    """Events in the state file, oldest ``last_seen`` first; raises as `read_objects` does."""
    return read_state(path, SCHEMA, lambda connection: select_events(connection, kind, name)) or ()
