"""The bridges of Docker networks: repair, and the settings that bridged packets need to pass the packet filter."""

from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.dockerd.model import Network
from dockerv6.hostnet.model import MAIN_TABLE
from dockerv6.lib.memoize import memoize_by_identity
from dockerv6.lib.prefixes import covers
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.firewall.bridge_names import not_bridges
from dockerv6.planning.host.interfaces import LONGEST_DEFAULT
from dockerv6.planning.inputs import HostView, Observed, UnroutedSubnet
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import RepairBridge, SetBridgeNetfilter, SetHairpin, Step

BRIDGE_RETRY = 30.0
"""Seconds until the interface of a bridge's name is looked at again. The kernel announces most changes."""


BRIDGE_NETFILTER = "net.bridge.bridge-nf-call-ip6tables"


def bridge_steps(host: HostView, bridges: Iterable[str], *, published: bool, icc: bool) -> tuple[Step, ...]:
    """Set br_netfilter and hairpin mode where a network needs them.

    If br_netfilter passes bridged packets to the packet filter, a packet that is translated to a container of the same
    bridge stays in the bridge, and one that returns to its sender leaves by the port that it came in by. Hairpin mode
    allows that (Linux net/bridge/br_netfilter_ipv6.c; measured with 6.18). Packets within a bridge can only be dropped
    if br_netfilter passes them to the packet filter.

    Args:
        host: the host's stack.
        bridges: the network's own bridges.
        published: containers are reached at other addresses than their own, by ports or by an external prefix.
        icc: containers of the network reach one another.
    """
    steps: list[Step] = []
    for name in sorted(bridges):
        bridge = host.interfaces.get(name)
        if bridge is None:
            continue
        if not icc and not host.bridge_netfilter and not bridge.bridge_netfilter:
            steps.append(SetBridgeNetfilter(name))
        if published and (host.bridge_netfilter or bridge.bridge_netfilter or not icc):
            ports = (i for i in host.interfaces.values() if i.master == bridge.index and i.bridge_port is not None)
            steps += [SetHairpin(i.name, name) for i in ports if i.bridge_port and not i.bridge_port.hairpin]
    return tuple(steps)


def icc_findings(host: HostView, *, icc: bool) -> tuple[Finding, ...]:
    """``bridge.icc: false`` has no effect without br_netfilter."""
    if icc or host.bridge_netfilter is not None:
        return ()
    message = (
        "bridge.icc: false has no effect on IPv6 while the kernel module br_netfilter is not loaded:"
        " run modprobe br_netfilter, and add it to /etc/modules-load.d"
    )
    return (Finding(ConditionType.HOST_READY, Reason.HOST_NOT_READY, message, blocks=False),)


@memoize_by_identity
def _destinations(host: HostView) -> Mapping[str | None, tuple[IPv6Network, ...]]:
    """Where routes of the main table lead, by interface; without default routes."""
    found: dict[str | None, list[IPv6Network]] = {}
    for route in host.routes:
        if route.table == MAIN_TABLE and route.destination.prefixlen > LONGEST_DEFAULT:
            found.setdefault(route.interface, []).append(route.destination)
    return {name: tuple(each) for name, each in found.items()}


def lacks_route(host: HostView, bridge: str, subnet: IPv6Network) -> bool:
    """Whether a bridge is up with an address of the subnet, and the main table has no route for it on the bridge.

    The kernel adds that route with the address. A reading of a new bridge may be a moment too early.
    """
    interface = host.interfaces.get(bridge)
    if interface is None or not interface.up or not any(each.ip in subnet for each in interface.addresses):
        return False
    return not covers(_destinations(host).get(bridge, ()), subnet)


def on_link_findings(
    host: HostView, networks: Iterable[Network], unrouted: Collection[UnroutedSubnet]
) -> tuple[Finding, ...]:
    """The routes that are missing. ``unrouted``: they were missing before, so no bridge is just being created."""
    return tuple(
        Finding(
            ConditionType.HOST_READY,
            Reason.HOST_NOT_READY,
            f"the host has no route for {config.subnet} on {network.bridge}, the bridge of Docker network"
            f" {network.name}, so packets for its containers are dropped or sent elsewhere; add it"
            f" (`ip -6 route add {config.subnet} dev {shell_quoted(network.bridge)}`)",
            blocks=False,
        )
        for network in networks
        for config in network.ipv6
        if network.bridge is not None
        and isinstance(config.subnet, IPv6Network)
        and (str(config.subnet), network.bridge) in unrouted
        and lacks_route(host, network.bridge, config.subnet)
    )


def missing_bridge(host: HostView, live: Network) -> str:
    """The drift, if the network's bridge was deleted; else "". The engine creates it again only when it restarts."""
    bridge = live.bridge
    if bridge is None or not host.interfaces or bridge in host.interfaces:
        return ""
    return f"bridge {bridge} of Docker network {live.name} was deleted"


def bridge_findings(host: HostView, networks: Iterable[Network]) -> tuple[Finding, ...]:
    """Live networks that name an interface as their bridge which is none. Rules would cut that interface off."""
    return tuple(
        Finding(
            ConditionType.NETWORK_READY,
            Reason.NAME_CONFLICT,
            f"interface {network.bridge}, which Docker network {network.name} names as its bridge, is not a bridge, so"
            " no rules name it; remove or rename the interface, or recreate the network with another bridge name",
            retry=BRIDGE_RETRY,
        )
        for network in networks
        if not_bridges((network.bridge or "",), host.interfaces)
    )


def repair_bridge_steps(observed: Observed, live: Network) -> tuple[RepairBridge, ...]:
    """Set the bridge up and add its gateway addresses, as the live network has them.

    An address that failed duplicate address detection is added again: the gateway is the bridge, even if another host
    claims the address. A tentative address becomes usable within a second and is left alone.
    """
    interface = observed.host.interfaces.get(live.bridge or "")
    if interface is None or not_bridges((interface.name,), observed.host.interfaces):
        return ()
    found: list[RepairBridge] = []
    for config in live.ipv6:
        if not isinstance(config.gateway, IPv6Address):
            continue
        address = IPv6Interface((config.gateway, config.subnet.prefixlen))
        faults: list[str] = []
        if address not in interface.addresses:
            faults.append(f"bridge {interface.name} lost its address {address}")
        elif address.ip in interface.dad_failed:
            faults.append(f"address {address} of bridge {interface.name} failed duplicate address detection")
        if not interface.up and not found:
            faults.append(f"bridge {interface.name} is down")
        if faults:
            found.append(RepairBridge(interface.name, address, "; ".join(faults)))
    return tuple(found)
