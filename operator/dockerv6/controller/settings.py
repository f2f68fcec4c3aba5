"""What the controller can be told."""

from dataclasses import dataclass, field

from dockerv6.planning.inputs import Identity


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """Times are seconds."""

    roots: tuple[str, ...] = ("/etc/dockerv6.d",)
    identity: Identity = field(default_factory=Identity)
    prune: bool = True
    grace: float = 5.0  # that an absence must last before it counts as a deletion
    resync: float = 600.0  # between looks at everything, in case that a notification was lost
    reattach_window: float = 120.0  # a container that left its network this long before the network went comes back
    event_retention: float = 7 * 86400.0
