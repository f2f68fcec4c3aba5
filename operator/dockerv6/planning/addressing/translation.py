"""What a subnet is translated to, and what a person should know about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.traffic import Egress
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix, replace_prefix
from dockerv6.planning.plan import Finding

PREFIX_RETRY = 30.0  # seconds between looks at who waits for a prefix, which is told of when it comes


@dataclass(frozen=True, slots=True)
class Translation:
    """The outer prefixes of one subnet, and why there are none, or no good ones."""

    external_prefixes: tuple[
        IPv6Network, ...
    ] = ()  # as long as the subnet; the first is given to what leaves, all lead in
    finding: Finding | None = None

    @property
    def pending(self) -> bool:
        """Whether the prefix is not known yet, or no longer."""
        return self.finding is not None and self.finding.reason == Reason.PREFIX_PENDING


NOTHING = Translation()


def translate_subnet(egress: Egress, subnet: IPv6Network, tracked: Mapping[str, TrackedPrefix]) -> Translation:
    """What ``PrefixTranslation`` exchanges the subnet for: the first bits are the prefix's, the others stay."""
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
            " it is taken up as soon as there is one"
        )
        return Translation(finding=_said(Reason.PREFIX_PENDING, message, PREFIX_RETRY))
    external = replace_prefix(subnet, source.prefix)
    if external is None:
        return _too_long(f"the prefix of {interface}, {source.prefix},", subnet)
    previous = (replace_prefix(subnet, each.prefix) for each in source.former)
    all_of_them = tuple(dict.fromkeys((external, *(each for each in previous if each is not None))))  # of one length
    if not source.withdrawn:
        return Translation(all_of_them)
    message = (
        f"the prefix {source.prefix} of interface {interface} is gone and no other came; the last one stays in use:"
        " check the uplink and the provider's router advertisements or delegation"
    )
    return Translation(all_of_them, _said(Reason.PREFIX_WITHDRAWN, message))


def translation_findings(
    egress: Egress, subnets: Iterable[IPv6Network], tracked: Mapping[str, TrackedPrefix]
) -> tuple[Finding, ...]:
    """What a person should know of the translation of these subnets, each thing once."""
    if egress.mode is not EgressMode.PREFIX_TRANSLATION:
        return ()
    found = (translate_subnet(egress, subnet, tracked).finding for subnet in sorted(subnets))
    return tuple(dict.fromkeys(f for f in found if f is not None))


def _too_long(prefix: str, subnet: IPv6Network) -> Translation:
    message = (
        f"{prefix} has fewer addresses than the subnet {subnet}, so nothing is translated;"
        " ask the provider for a shorter prefix, or give the network a longer addressing.prefixLength"
    )
    return Translation(finding=_said(Reason.PREFIX_TOO_LONG, message))


def _said(reason: Reason, message: str, retry: float | None = None) -> Finding:
    return Finding(ConditionType.FIREWALL_READY, reason, message, blocks=False, retry=retry)
