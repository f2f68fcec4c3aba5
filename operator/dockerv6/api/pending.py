"""Which fields ask for behaviour that this version does not have yet. Pure; said in a condition, never passed over."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dockerv6.api.errors import FieldPath
from dockerv6.api.meta import camel
from dockerv6.api.network import IPv6Network
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.pool import IPv6Pool


class PendingField(NamedTuple):
    """A field that asks for something, and what it is that is not there."""

    path: FieldPath
    why: str


@dataclass(frozen=True, slots=True)
class Pending:
    """What a resource asks for in vain.

    ``blocking``: nothing may be done for the resource, since half of it would be wrong. ``additive``: the resource
    works, and this part of it is not there.
    """

    blocking: tuple[PendingField, ...] = ()
    additive: tuple[PendingField, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.blocking or self.additive)


def not_yet_in_effect(resource: IPv6Network | IPv6Pool | IPv6Policy) -> Pending:
    """What a resource asks for that is not in effect. Only what its writer set counts, never a default."""
    return Pending(tuple(_blocking(resource))) if isinstance(resource, IPv6Network) else Pending()


def _blocking(network: IPv6Network) -> Iterator[PendingField]:
    for name in ("match_names", "match_labels"):
        if getattr(network.spec.hosts, name):
            yield PendingField(("spec", "hosts", camel(name)), "choosing hosts of a fleet")
