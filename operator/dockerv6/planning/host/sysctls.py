"""What the host itself must have: forwarding without losing its own default route, and a filter that lets us pass."""

from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv6Address, IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.hostnet.model import Route, RouteProtocol, interface_sysctl
from dockerv6.lib.memoize import memoize_by_identity
from dockerv6.planning.inputs import HostView, RulesView
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import (
    AddAcceptRule,
    RemoveAcceptRule,
    RestoreSysctl,
    SetBridgeNetfilter,
    SetHairpin,
    SetSysctl,
    Step,
)

BRIDGE_NETFILTER = "net.bridge.bridge-nf-call-ip6tables"
FORWARDING = "net.ipv6.conf.all.forwarding"
GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291, 2.4, as far as IANA has assigned it
HALF_OF_IT = 4  # bits: VPN programs write 2000::/4 and 3000::/4, to be more specific than the default route


def accept_ra(interface: str) -> str:
    """The sysctl's name for one interface, whose own name may have dots (sysctl(8))."""
    return interface_sysctl(interface, "accept_ra")


def proxy_ndp(interface: str) -> str:
    """The sysctl's name for one interface."""
    return interface_sysctl(interface, "proxy_ndp")


def is_default_route(route: Route) -> bool:
    """Whether the route goes to the Internet: the default route, or what VPN programs write in its place."""
    to = route.destination
    return (
        to.prefixlen <= HALF_OF_IT
        and to.overlaps(GLOBAL_UNICAST)
        and route.interface is not None
        and route.interface != "lo"
    )


@memoize_by_identity
def default_route_interfaces(host: HostView) -> tuple[str, ...]:
    """The interfaces that lead to the Internet, by name."""
    return tuple(sorted({r.interface or "" for r in host.routes if is_default_route(r)}))


@memoize_by_identity
def accepts_ra(host: HostView) -> tuple[str, ...]:
    """The interfaces on which router advertisements are in effect, and stay so while the host forwards; by name."""
    by_route = {r.interface for r in host.routes if r.protocol is RouteProtocol.RA}
    return tuple(
        sorted(
            i.name
            for i in host.interfaces.values()
            if i.master is None and (i.autoconfigured or i.name in by_route) and i.name not in host.accept_ra
        )
    )


def uplink_bridges(host: HostView) -> tuple[str, ...]:
    """Bridges that lead outside: those that a default route goes through (a host whose LAN is on br0)."""
    leading = {r.interface for r in host.routes if r.destination.prefixlen == 0}
    return tuple(sorted(i.name for i in host.interfaces.values() if i.kind == "bridge" and i.name in leading))


def sysctl_steps(host: HostView) -> tuple[SetSysctl, ...]:
    """Forwarding, after accept_ra=2 wherever a router advertisement made the host's routes.

    With forwarding on, the kernel ignores router advertisements unless accept_ra is 2, and the default route that came
    with them runs out (Linux Documentation/networking/ip-sysctl.rst, accept_ra). The order is therefore fixed.
    """
    guards = tuple(
        SetSysctl(accept_ra(name), "2", value, f"{name} has its routes from router advertisements")
        for name, value in sorted(host.accept_ra.items())
    )
    if host.forwarding in (None, "1"):
        return guards
    return (*guards, SetSysctl(FORWARDING, "1", host.forwarding, "containers' packets are forwarded"))


def host_findings(host: HostView) -> tuple[Finding, ...]:
    """What keeps the host from forwarding at all."""
    if host.forwarding is None:
        return (
            Finding(
                ConditionType.HOST_READY,
                Reason.HOST_NOT_READY,
                "the kernel has no IPv6 (booted with ipv6.disable=1?); enable it and restart the host",
            ),
        )
    return ()


def filter_steps(rules: RulesView, *, wanted: bool = True) -> tuple[AddAcceptRule | RemoveAcceptRule, ...]:
    """Let our marked flows pass the host's own filter, where it drops; not ``wanted``: there are none any more."""
    if not wanted:
        return tuple(
            RemoveAcceptRule(b)
            for b in (*rules.filter.forward_drops, *rules.filter.orphaned)
            if b.repairable and b.has_accept_rule
        )
    admit = tuple(AddAcceptRule(b) for b in rules.filter.forward_drops if b.repairable and not b.has_accept_rule)
    return (*admit, *(RemoveAcceptRule(b) for b in rules.filter.orphaned))


def filter_findings(rules: RulesView) -> tuple[Finding, ...]:
    """Drops that only a person can lift: said, but no reason to stop."""
    return tuple(
        Finding(ConditionType.FIREWALL_READY, Reason.FIREWALL_BLOCKED, b.remedy, blocks=False, unknown=True)
        for b in rules.filter.forward_drops
        if not b.repairable and not b.has_accept_rule
    )


@memoize_by_identity
def guest_bridges(host: HostView) -> tuple[str, ...]:
    """All other bridges: containers or virtual machines live behind them."""
    uplinks = frozenset(uplink_bridges(host))
    return tuple(sorted(i.name for i in host.interfaces.values() if i.kind == "bridge" and i.name not in uplinks))


@memoize_by_identity
def external_interfaces(host: HostView) -> tuple[str, ...]:
    """Interfaces that somebody else may be on the other side of: neither loopback nor of guests."""
    inside = frozenset(("lo", *guest_bridges(host)))
    return tuple(sorted(i.name for i in host.interfaces.values() if i.master is None and i.name not in inside))


@memoize_by_identity
def external_addresses(host: HostView) -> frozenset[IPv6Address]:
    """The host's addresses on its links; those of guests' bridges are in no prefix of others."""
    return frozenset(a.ip for name in external_interfaces(host) for a in host.interfaces[name].addresses)


def bridge_steps(host: HostView, bridges: Iterable[str], *, published: bool, icc: bool) -> tuple[Step, ...]:
    """What the packet filter needs of a network's own bridges.

    ``published``: some are reached at other addresses than their own, by ports or by an outer prefix.

    Where br_netfilter looks at bridged packets, one that is translated to a container of the same bridge stays in the
    bridge, and one that goes back to its sender leaves by the port that it came in by, which hairpin mode allows (Linux
    net/bridge/br_netfilter_ipv6.c; measured with 6.18). And only what br_netfilter looks at can be dropped within a
    bridge.
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
    """Containers of one bridge can only be kept apart where br_netfilter is loaded."""
    if icc or host.bridge_netfilter is not None:
        return ()
    message = (
        "bridge.icc: false has no effect on IPv6 while the kernel module br_netfilter is not loaded:"
        " modprobe br_netfilter, and add it to /etc/modules-load.d"
    )
    return (Finding(ConditionType.HOST_READY, Reason.HOST_NOT_READY, message, blocks=False),)


def unneeded_sysctls(priors: Mapping[str, str], *, forwards: bool, proxying: Collection[str]) -> dict[str, str]:
    """Those of the sysctls that we have set that nothing needs any more, with the values that they had.

    Args:
        priors: the values that sysctls had before, by name.
        forwards: some network needs forwarding, and with it the guards.
        proxying: interfaces on which neighbour solicitations are answered (`neighbours.proxying`).
    """
    needed = {proxy_ndp(name) for name in proxying}
    return {
        name: prior for name, prior in priors.items() if name not in needed and (_is_proxy_ndp(name) or not forwards)
    }


def restore_steps(priors: dict[str, str], now: dict[str, str | None]) -> tuple[RestoreSysctl, ...]:
    """Put back what nothing needs any more: forwarding first, so that the guards go last.

    A value that somebody else has changed since is left alone.
    """
    ordered = sorted(priors, key=lambda name: (name != FORWARDING, name))
    return tuple(
        RestoreSysctl(name, priors[name], "nothing needs it any more")
        for name in ordered
        if now.get(name) == _set_by_us(name) != priors[name]
    )


def _set_by_us(name: str) -> str:
    """What we set that sysctl to."""
    return "1" if name == FORWARDING or _is_proxy_ndp(name) else "2"


def _is_proxy_ndp(name: str) -> bool:
    return name.endswith("/proxy_ndp")


def host_message(host: HostView, proxying: Iterable[str] = ()) -> str:
    """What HostReady says when all is well. ``proxying``: see `unneeded_sysctls`."""
    parts = (
        ("its way out is", default_route_interfaces(host)),
        ("it hears routers on", accepts_ra(host)),
        ("it answers neighbours on", sorted(proxying)),
    )
    return "; ".join(("the host forwards IPv6", *(f"{what} {', '.join(names)}" for what, names in parts if names)))
