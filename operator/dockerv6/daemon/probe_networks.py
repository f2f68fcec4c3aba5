"""The IPv6Networks that a probe is about, as the daemon left them in its state."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dockerv6.api.kinds import NETWORK
from dockerv6.lib.networking import EgressMode
from dockerv6.lib.statefile import StateFileMissingError
from dockerv6.store.tables import read_objects


@dataclass(frozen=True, slots=True)
class ProbedNetwork:
    """An IPv6Network, from its status."""

    name: str
    status: Mapping[str, object]

    def text(self, key: str) -> str:
        """A field of the status; "": there is none."""
        return str(self.status.get(key) or "")

    @property
    def leads_out(self) -> bool:
        """Whether containers are meant to reach the outside."""
        return self.text("egress") != EgressMode.NONE


def networks_of(database: Path) -> tuple[ProbedNetwork, ...]:
    """The IPv6Networks with their status. Raises `StateFileError`."""
    try:
        return tuple(ProbedNetwork(each.name, each.status) for each in read_objects(database, NETWORK))
    except StateFileMissingError:
        return ()


def describe(network: ProbedNetwork) -> str:
    """The command that shows what the daemon knows of a network."""
    return f"dockerv6 describe ipv6network/{network.name}"


def remedy_of(error: Exception) -> tuple[str, ...]:
    """What to do if a probe can't be made; nothing, if the error itself says what."""
    return ("run it as root, on the host of the engine",) if isinstance(error, PermissionError) else ()
