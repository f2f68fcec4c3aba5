"""Whether what leaves a network gets anywhere: the way out, its MTU, and the addresses that packets shall come from.

All of it is said in HostReady with a remedy, and stops nothing: what is applied stays. Pure.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address

from dockerv6.api.addressing import MINIMUM_MTU
from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.traffic import Egress
from dockerv6.dockerd.model import Network
from dockerv6.hostnet.model import Interface
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.docker.network_spec import MTU
from dockerv6.planning.host.interfaces import default_route_interfaces
from dockerv6.planning.inputs import HostView
from dockerv6.planning.plan import Finding


def uplink_findings(
    host: HostView, egress: Egress, networks: Iterable[Network], *, managed: bool
) -> tuple[Finding, ...]:
    """What stands in the way of packets that leave; what surely breaks the wish comes before what is doubtful.

    Args:
        host: the host's stack.
        egress: how packets leave.
        networks: the live networks that it is for; internal ones, and those without a bridge, let nothing out this way.
        managed: whether they are the resource's own, whose MTU is its ``spec.bridge.mtu``.
    """
    leaving = [n for n in networks if n.bridge and not n.internal]
    if not leaving or egress.mode is EgressMode.NONE or not host.interfaces:
        return ()
    bridges = {n.bridge for n in leaving}
    uplinks = [i for i in _uplinks(host, egress) if i.name not in bridges]
    return (
        *_source(egress, host),
        *_absent(egress, host),
        *_no_way_out(egress, uplinks, host),
        *_narrow(leaving, uplinks, host, managed=managed),
        *_failed(egress, uplinks),
    )


def snat_findings(address: IPv6Address, host: HostView) -> tuple[Finding, ...]:
    """Whether the host has the address that ``SNAT`` gives: replies come to nobody else.

    The address may be any interface's, loopback's too, if only packets for it are routed to this host.
    """
    if not host.interfaces:
        return ()
    holders = [i for i in host.interfaces.values() if any(a.ip == address for a in i.addresses)]
    if any(address not in i.tentative for i in holders):
        return ()
    if not holders:
        message = (
            f"the host does not have egress.snatAddress {address}, so replies don't come back: ip -6 addr add"
            f" {address}/128 dev <interface>, or name one of its own; the rules stay and work once it is there"
        )
        return (_finding(Reason.ADDRESS_MISSING, message),)
    names = ", ".join(sorted(i.name for i in holders))
    if any(address in i.dad_failed for i in holders):
        message = (
            f"egress.snatAddress {address} failed duplicate address detection on {names}: somebody else on the link has"
            " it and gets the replies; take it from one of the two, then remove it here and add it again"
        )
        return (_finding(Reason.DUPLICATE_ADDRESS, message),)
    message = f"egress.snatAddress {address} is still tentative (duplicate address detection on {names})"
    return (_finding(Reason.ADDRESS_PENDING, message, unknown=True),)


def _uplinks(host: HostView, egress: Egress) -> list[Interface]:
    """The interfaces that packets leave by, so far as they are there; by name."""
    names = sorted(egress.interfaces) or default_route_interfaces(host)
    return [host.interfaces[name] for name in names if name in host.interfaces]


def _source(egress: Egress, host: HostView) -> tuple[Finding, ...]:
    """What translated packets come from."""
    if egress.mode is EgressMode.SNAT and egress.snat_address is not None:
        return snat_findings(egress.snat_address, host)
    if egress.prefix_from is None or not (why := _unusable(egress.prefix_from.interface, host)):
        return ()
    message = f"egress.prefixFrom: {why}, or name another one; a prefix that it had stays in use"
    return (_finding(Reason.HOST_NOT_READY, message),)


def _absent(egress: Egress, host: HostView) -> Iterator[Finding]:
    """Interfaces that may well come later, as a VPN's does."""
    for name in egress.interfaces:
        why = _unusable(name, host)
        if why:
            message = f"egress.interfaces: {why}, or correct the name; nothing leaves that way until then"
            yield _finding(Reason.HOST_NOT_READY, message, unknown=True)


def _no_way_out(egress: Egress, uplinks: Iterable[Interface], host: HostView) -> Iterator[Finding]:
    if egress.interfaces or any(uplinks):
        return
    deaf = ", ".join(f"{name} (accept_ra is {value})" for name, value in sorted(host.accept_ra.items()))
    remedy = (
        f"router advertisements are not heard on {deaf} while the host forwards: accept_ra is set to 2,"
        " and the route comes back with the next one"
        if deaf
        else "add one (ip -6 route add default via <router> dev <interface>), or where a router advertises itself see"
        " that the uplink's accept_ra is 2"
    )
    message = f"the host has no IPv6 default route, so containers reach no more than its own links; {remedy}"
    yield _finding(Reason.NO_DEFAULT_ROUTE, message, unknown=True)


def _narrow(
    networks: Iterable[Network], uplinks: Iterable[Interface], host: HostView, *, managed: bool
) -> Iterator[Finding]:
    """Bridges that take packets which an uplink can't carry.

    Each destination then costs a Packet Too Big and a retry, and where those are filtered connections hang (RFC 8201,
    1; RFC 4890, 4.3.1).
    """
    known = [i for i in uplinks if i.mtu > 0]
    if not known:
        return
    uplink = min(known, key=lambda i: (i.mtu, i.name))
    wide = {n.name: (n.bridge, mtu) for n in networks if (mtu := _bridge_mtu(n, host)) is not None and mtu > uplink.mtu}
    if not wide:
        return
    best = max(uplink.mtu, MINIMUM_MTU)
    theirs = ", ".join(f"{bridge} {mtu}" for _, (bridge, mtu) in sorted(wide.items()))
    remedy = (
        f"set spec.bridge.mtu: {best}" if managed else f"recreate {', '.join(sorted(wide))} with --opt {MTU}={best}"
    )
    message = (
        f"uplink {uplink.name} has an MTU of {uplink.mtu}, less than the bridges' ({theirs}): large packets are sent"
        f" twice, or lost where ICMPv6 is filtered; {remedy}"
    )
    yield _finding(Reason.MTU_MISMATCH, message, unknown=True)


def _bridge_mtu(network: Network, host: HostView) -> int | None:
    """What containers take to be the MTU; the option rather than the bridge, which follows its ports.

    The engine gives the option to every container's interface; a bridge's own is the smallest of its ports', and 1500
    without one (Linux net/bridge/br_if.c, br_mtu_auto_adjust).
    """
    said = network.options.get(MTU, "")
    if said.isascii() and said.isdigit():
        return int(said)
    bridge = host.interfaces.get(network.bridge or "")
    return bridge.mtu if bridge is not None and bridge.mtu > 0 else None


def _failed(egress: Egress, uplinks: Iterable[Interface]) -> Iterator[Finding]:
    """Uplinks' addresses that somebody else has: packets can't come from them."""
    if egress.mode is EgressMode.SNAT:  # told of, if it is the one
        return
    said = [f"{address} on {i.name}" for i in uplinks for address in sorted(i.dad_failed)]
    if said:
        message = (
            f"duplicate address detection failed for {', '.join(said)}: somebody else on the link has it, and nothing"
            " leaves from it; give one of the two another address"
        )
        yield _finding(Reason.DUPLICATE_ADDRESS, message, unknown=True)


def _unusable(name: str, host: HostView) -> str:
    """Why an interface is of no use now, and what to do about it; "": it is."""
    interface = host.interfaces.get(name)
    if interface is None:
        there = ", ".join(sorted(host.interfaces.keys() - {"lo"})) or "none"
        return f"there is no interface {name} (there are: {there}); bring it up"
    return "" if interface.up else f"interface {name} is down; ip link set {name} up"


def _finding(reason: Reason, message: str, *, unknown: bool = False) -> Finding:
    return Finding(ConditionType.HOST_READY, reason, message, blocks=False, unknown=unknown)
