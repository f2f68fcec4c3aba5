"""The external prefixes of a subnet with ``egress.mode: PrefixTranslation``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.traffic import Egress
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix, replace_prefix
from dockerv6.planning.plan import Finding

PREFIX_RETRY = 30.0
"""Seconds between checks while a prefix is missing. A new prefix also triggers one."""


@dataclass(frozen=True, slots=True)
class Translation:
    """The external prefixes of one subnet, and why there are none, or none that work."""

    external_prefixes: tuple[
        IPv6Network, ...
    ] = ()  # as long as the subnet; outgoing packets get the first, incoming ones may use all
    finding: Finding | None = None

    @property
    def pending(self) -> bool:
        """Whether the prefix is unknown."""
        return self.finding is not None and self.finding.reason == Reason.PREFIX_PENDING


NOTHING = Translation()


def translate_subnet(egress: Egress, subnet: IPv6Network, tracked: Mapping[str, TrackedPrefix]) -> Translation:
    """Translate the subnet: its first bits become those of the prefix, the others stay."""
    if egress.mode is not EgressMode.PREFIX_TRANSLATION:
        return NOTHING
    if egress.prefix is not None:
        external = replace_prefix(subnet, egress.prefix)
        return Translation((external,)) if external is not None else _too_long(str(egress.prefix), subnet)
    interface = egress.prefix_from.interface if egress.prefix_from is not None else ""
    source = tracked.get(interface)
    if source is None:
        message = (
            f"interface {interface} has no global IPv6 prefix yet, so nothing is translated;"
            " check the uplink and the provider's router advertisements or delegation"
        )
        return Translation(finding=_finding(Reason.PREFIX_PENDING, message, PREFIX_RETRY))
    external = replace_prefix(subnet, source.prefix)
    if external is None:
        return _too_long(f"the prefix of {interface}, {source.prefix},", subnet)
    previous = (replace_prefix(subnet, each.prefix) for each in source.former)
    prefixes = tuple(dict.fromkeys((external, *(each for each in previous if each is not None))))  # of one length
    if not source.withdrawn:
        return Translation(prefixes)
    message = (
        f"the prefix {source.prefix} of interface {interface} was withdrawn without a successor and stays in use;"
        " check the uplink and the provider's router advertisements or delegation"
    )
    return Translation(prefixes, _finding(Reason.PREFIX_WITHDRAWN, message))


def translation_findings(
    egress: Egress, subnets: Iterable[IPv6Network], tracked: Mapping[str, TrackedPrefix]
) -> tuple[Finding, ...]:
    """Why subnets are not translated, or to a prefix that does not work; each finding once."""
    if egress.mode is not EgressMode.PREFIX_TRANSLATION:
        return ()
    found = (translate_subnet(egress, subnet, tracked).finding for subnet in sorted(subnets))
    return tuple(dict.fromkeys(f for f in found if f is not None))


def _too_long(prefix: str, subnet: IPv6Network) -> Translation:
    message = (
        f"{prefix} is longer than the subnet {subnet}, so nothing is translated;"
        " ask the provider for a shorter prefix, or give the network a longer addressing.prefixLength"
    )
    return Translation(finding=_finding(Reason.PREFIX_TOO_LONG, message))


def _finding(reason: Reason, message: str, retry: float | None = None) -> Finding:
    return Finding(ConditionType.FIREWALL_READY, reason, message, blocks=False, retry=retry)
