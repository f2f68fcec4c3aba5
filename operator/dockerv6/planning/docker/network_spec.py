"""The Docker network of a resource: its specification, the live network, and how they differ.

A live network is compared field by field. A hash alone would recreate networks after an upgrade of dockerv6, because
another version may compute another hash.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from dockerv6.api.addressing import Addressing
from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.options import GATEWAY_MODE_IPV6
from dockerv6.dockerd.model import BRIDGE_NAME, EngineInfo, Network, NetworkSpec, SubnetConfig
from dockerv6.lib.networking import EgressMode
from dockerv6.lib.prefixes import first_address
from dockerv6.planning.inputs import (
    INSTALLATION_LABEL,
    MANAGED_BY,
    NAME_LABEL,
    POOL_LABEL,
    SPEC_HASH,
    Desired,
    Identity,
    Observed,
)
from dockerv6.planning.plan import Finding

MTU = "com.docker.network.driver.mtu"
ICC = "com.docker.network.bridge.enable_icc"
NO_IPV4_SINCE = (28, 0)  # older engines ignore EnableIPv4: false
GATEWAY_MODE_SINCE = (27, 0)  # older engines ignore the option
ENGINE_OPTIONS = frozenset({"com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6"})
"""Options that engines add to every network."""


def gateway(resource: NetworkResource, prefix: IPv6Network) -> IPv6Address:
    """The bridge's address in the network."""
    return resource.spec.addressing.gateway or first_address(prefix)


def network_spec(
    resource: NetworkResource, prefix: IPv6Network, identity: Identity, engine: EngineInfo | None = None
) -> NetworkSpec:
    """The specification that the engine gets, without the spec hash. ``engine``: None while it does not answer."""
    spec = resource.spec
    options = dict(spec.options)
    if spec.driver == "bridge":
        options[BRIDGE_NAME] = resource.bridge_name
        if spec.egress.mode is EgressMode.ROUTED and engine is not None and engine.release >= GATEWAY_MODE_SINCE:
            options.setdefault(GATEWAY_MODE_IPV6, "routed")
    if spec.bridge.mtu is not None:
        options[MTU] = str(spec.bridge.mtu)
    if not spec.bridge.icc:
        options[ICC] = "false"
    reserved = {f"reserved-{i}": str(a) for i, a in enumerate(spec.addressing.reserved_addresses())}
    ipam = [SubnetConfig(prefix, gateway(resource, prefix), spec.addressing.ip_range, reserved)]
    if spec.ipv4.enabled and spec.ipv4.subnet is not None:
        ipam.insert(0, SubnetConfig(spec.ipv4.subnet, spec.ipv4.gateway))
    network = NetworkSpec(
        name=resource.docker_name,
        driver=str(spec.driver),
        internal=spec.internal,
        attachable=spec.attachable,
        enable_ipv4=spec.ipv4.enabled,
        enable_ipv6=True,
        ipam=tuple(ipam),
        options=options,
        labels=dict(spec.labels),
    )
    ours = {MANAGED_BY: identity.instance, NAME_LABEL: resource.metadata.name}
    if identity.installation:
        ours[INSTALLATION_LABEL] = identity.installation
    if spec.addressing.pool is not None:
        ours[POOL_LABEL] = spec.addressing.pool
    return replace(network, labels={**network.labels, **ours})


def with_spec_hash(spec: NetworkSpec) -> NetworkSpec:
    """The specification with its own hash as a label: what the engine gets."""
    return replace(spec, labels={**spec.labels, SPEC_HASH: fingerprint(spec)})


def fingerprint(spec: NetworkSpec) -> str:
    """A short hash of the specification. It never causes a recreation by itself: versions may compute others."""
    expected = {f: getattr(spec, f) for f in spec.__slots__ if f != "labels"}
    text = json.dumps([expected, _comparable_labels(spec.labels)], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(want: NetworkSpec, live: Network, engine: EngineInfo) -> tuple[str, ...]:
    """How the live network differs from the specification, one sentence each."""
    found: list[str] = []

    def compare(what: str, expected: object, actual: object) -> None:
        if expected != actual:
            found.append(f"{what} is {actual}, should be {expected}")

    compare("name", want.name, live.name)
    compare("driver", want.driver, live.driver)
    compare("internal", want.internal, live.internal)
    compare("attachable", want.attachable, live.attachable)
    compare("IPv6", want.enable_ipv6, live.enable_ipv6)
    if engine.release >= NO_IPV4_SINCE:
        compare("IPv4", want.enable_ipv4, live.enable_ipv4)
    found += _subnet_differences(want, live)
    expected, actual = dict(want.options), _actual_options(want, live)
    if engine.release < GATEWAY_MODE_SINCE:
        expected.pop(GATEWAY_MODE_IPV6, None)
        actual.pop(GATEWAY_MODE_IPV6, None)
    found += _mapping_differences("option", expected, actual)
    found += _mapping_differences("label", _comparable_labels(want.labels), _comparable_labels(live.labels))
    return tuple(found)


def _mapping_differences(what: str, expected: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    if expected == actual:
        return []
    return [
        f"{what} {key} is {actual.get(key, 'unset')}, should be {expected.get(key, 'unset')}"
        for key in sorted(expected.keys() | actual.keys())
        if expected.get(key, "unset") != actual.get(key, "unset")
    ]


def _actual_options(want: NetworkSpec, live: Network) -> dict[str, str]:
    """The live network's options, without those that the engine added.

    Besides `ENGINE_OPTIONS`, these come from ``default-network-opts`` in daemon.json (dockerd's reference). If the spec
    hash shows that the network was created from this specification, every other option came from the engine, and a
    recreation would add it again.
    """
    options = {k: v for k, v in live.options.items() if k not in ENGINE_OPTIONS}
    if options.keys() <= want.options.keys() or live.labels.get(SPEC_HASH) != fingerprint(want):
        return options
    return {k: v for k, v in options.items() if k in want.options}


def _subnet_differences(want: NetworkSpec, live: Network) -> list[str]:
    """Differences of the subnets. IPv4 counts only if the resource fixes it; otherwise the engine chose it."""
    found = []
    for expected in want.ipam:
        same_family = live.ipv4 if isinstance(expected.subnet, IPv4Network) else live.ipv6
        match = next((c for c in same_family if c.subnet == expected.subnet), None)
        if match is None:
            actual = ", ".join(str(c.subnet) for c in same_family) or "none"
            found.append(f"subnet is {actual}, should be {expected.subnet}")
            continue
        if expected.gateway is not None and match.gateway is not None and match.gateway != expected.gateway:
            found.append(f"gateway is {match.gateway}, should be {expected.gateway}")
        if isinstance(expected.subnet, IPv6Network) and expected.ip_range != match.ip_range:
            found.append(f"range of addresses is {match.ip_range or 'all'}, should be {expected.ip_range or 'all'}")
        if set(expected.aux_addresses.values()) != set(match.aux_addresses.values()):
            found.append("reserved addresses differ")
    return found


def _comparable_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels without the spec hash, and without the installation, which networks of former versions lack."""
    return {k: v for k, v in labels.items() if k not in (SPEC_HASH, INSTALLATION_LABEL)}


def own_network(desired: Desired, observed: Observed) -> Network | None:
    """The Docker network that was created for the resource; of several, one with the name that it asks for."""
    return min(observed.owned(desired), key=lambda n: n.name != desired.resource.docker_name, default=None)


def observed_network(desired: Desired, observed: Observed) -> Network | None:
    """With ``managementPolicy: Observe``: the Docker network that others manage."""
    if not desired.resource.observed:
        return None
    return next(iter(observed.networks.named(desired.resource.docker_name)), None)


LARGE_SUBNETS_SINCE = (28, 0)
LARGE_RANGES_SINCE = (27, 2)
_BITS = 64
_UNKNOWN_RELEASE = (0, 0)  # a development build


def address_findings(addressing: Addressing, want: NetworkSpec, observed: Observed) -> tuple[Finding, ...]:
    """Addresses that this engine would change or refuse, and containers that have another one than they asked for.

    Engines before 28.0 compute addresses in 64 bits (moby 45402 and 21199, fixed by moby 49223). In a subnet that is
    larger than a /64, an address outside of its first /64 becomes one inside of it: `--ip6 fd00:0:0:5::9` in fd00::/48
    gives fd00::9 (measured with 20.10). Before 27.2, they refuse an `ip_range` of a /64 or larger (moby 48322).
    """
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
