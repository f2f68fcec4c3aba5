"""What older engines can't do with large IPv6 subnets. They refuse nothing: containers get other addresses.

Engines before 28.0 compute addresses in 64 bits (moby 45402 and 21199, mended by moby 49223). In a subnet that is
larger than a /64, an address outside of its first /64 becomes one inside of it: `--ip6 fd00:0:0:5::9` in fd00::/48
gives fd00::9 (measured with 20.10). Before 27.2, they refuse an `ip_range` of a /64 or larger (moby 48322).
"""

from ipaddress import IPv6Network

from dockerv6.api.addressing import Addressing
from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.dockerd.model import NetworkSpec
from dockerv6.planning.inputs import Observed
from dockerv6.planning.plan import Finding

LARGE_SUBNETS_SINCE = (28, 0)
LARGE_RANGES_SINCE = (27, 2)
_BITS = 64
_UNKNOWN_RELEASE = (0, 0)  # a development build


def address_findings(addressing: Addressing, want: NetworkSpec, observed: Observed) -> tuple[Finding, ...]:
    """Addresses that this engine would change or refuse, and containers that have another one than they asked for."""
    engine = observed.engine
    config = next((c for c in want.ipam if isinstance(c.subnet, IPv6Network)), None)
    if engine is None or config is None or not isinstance(config.subnet, IPv6Network):
        return ()
    release, subnet = engine.release, config.subnet
    if release == _UNKNOWN_RELEASE:
        return ()
    upgrade = "or upgrade to Docker Engine 28"
    if config.ip_range is not None and config.ip_range.prefixlen <= _BITS and release < LARGE_RANGES_SINCE:
        message = (
            f"Docker Engine {engine.version} refuses an addressing.ipRange as large as {config.ip_range}; write one of"
            f" length {_BITS + 1} or longer, {upgrade}"
        )
        return (Finding(ConditionType.NETWORK_READY, Reason.ENGINE_TOO_OLD, message),)
    if subnet.prefixlen >= _BITS or release >= LARGE_SUBNETS_SINCE:
        return ()
    first = IPv6Network((subnet.network_address, _BITS))
    limit = (
        f"Docker Engine {engine.version} handles only {first} of a subnet as large as {subnet}, and silently changes"
        " every address outside of it"
    )
    written = [addressing.gateway, *addressing.reserved, addressing.ip_range]
    outside = [each for each in written if each is not None and not _within(each, first)]
    if outside:
        message = f"{limit}; this concerns {', '.join(map(str, outside))}: set addressing.subnet: {first}, {upgrade}"
        return (Finding(ConditionType.NETWORK_READY, Reason.ENGINE_TOO_OLD, message),)
    changed = [
        f"{a.container_name} asked for {a.static_ipv6} and has {a.ipv6}"
        for a in observed.attachments
        if a.static_ipv6 is not None and a.ipv6 is not None and a.static_ipv6 != a.ipv6
    ]
    remedy = f"set addressing.subnet: {first}, keep fixed addresses (docker run --ip6, ipv6_address) in it, {upgrade}"
    what = f": {'; '.join(changed)}" if changed else ""
    return (
        Finding(
            ConditionType.NETWORK_READY,
            Reason.ENGINE_TOO_OLD,
            f"{limit}{what}; {remedy}",
            blocks=False,
            unknown=not changed,
        ),
    )


def _within(written: object, first: IPv6Network) -> bool:
    return IPv6Network(str(written)).subnet_of(first)
