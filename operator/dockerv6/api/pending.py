"""Which fields ask for behaviour that this version does not have yet. Pure; said in a condition, never passed over."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dockerv6.api.egress import EgressMode
from dockerv6.api.errors import FieldPath
from dockerv6.api.meta import Model, camel
from dockerv6.api.network import IPv6Network
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.pool import IPv6Pool
from dockerv6.api.selectors import Driver


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


_MODES: Mapping[EgressMode, str] = {
    EgressMode.SNAT: "source NAT to a fixed address",
    EgressMode.PREFIX_TRANSLATION: "prefix translation",
    EgressMode.ROUTED: "routed egress",
}


def not_yet_in_effect(resource: IPv6Network | IPv6Pool | IPv6Policy) -> Pending:
    """What a resource asks for that is not in effect. Only what its writer set counts, never a default."""
    if isinstance(resource, IPv6Network):
        return Pending(tuple(_blocking(resource)), tuple(_additive(resource)))
    if isinstance(resource, IPv6Pool):
        source = resource.spec.from_interface
        why = "pools that follow an interface's prefix"
        return Pending((PendingField(("spec", "fromInterface"), why),) if source is not None else ())
    modes = tuple(_egress(resource.spec.egress.mode))
    return Pending(modes, tuple(_asked(resource.spec.ndp_proxy, "ndpProxy", "answering neighbour solicitations")))


def _blocking(network: IPv6Network) -> Iterator[PendingField]:
    spec = network.spec
    if spec.driver is not Driver.BRIDGE:
        yield PendingField(("spec", "driver"), f"{spec.driver} networks")
    yield from _egress(spec.egress.mode)
    for name in ("match_names", "match_labels"):
        if getattr(spec.hosts, name):
            yield PendingField(("spec", "hosts", camel(name)), "choosing hosts of a fleet")


def _egress(mode: EgressMode) -> Iterator[PendingField]:
    if mode in _MODES:
        yield PendingField(("spec", "egress", "mode"), _MODES[mode])


def _additive(network: IPv6Network) -> Iterator[PendingField]:
    yield from _asked(network.spec.ndp_proxy, "ndpProxy", "answering neighbour solicitations")


def _asked(block: Model, name: str, why: str) -> Iterator[PendingField]:
    """The fields of a block that were set to something: false and empty ask for nothing."""
    for field in type(block).model_fields:
        if field in block.model_fields_set and getattr(block, field):
            yield PendingField(("spec", name, type(block).model_fields[field].alias or camel(field)), why)
