"""Findings about uplinks: default route, MTU, and the source addresses of packets.

They are reported in HostReady and block nothing.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.traffic import Egress
from dockerv6.dockerd.model import Network
from dockerv6.hostnet.model import Interface
from dockerv6.lib.networking import MINIMUM_MTU, EgressMode
from dockerv6.lib.text import shell_quoted, small_number
from dockerv6.planning.docker.network_spec import MTU
from dockerv6.planning.host.interfaces import default_route_interfaces
from dockerv6.planning.host.sysctls import disable_ipv6, enable_ipv6_command
from dockerv6.planning.inputs import HostView
from dockerv6.planning.plan import Finding

UNIQUE_LOCAL = IPv6Network("fc00::/7")  # RFC 4193
SITE = 48
"""Bits of a site's prefix (RFC 6177, 4; RFC 4193, 3.1)."""


def uplink_findings(
    host: HostView, egress: Egress, networks: Iterable[Network], *, managed: bool
) -> tuple[Finding, ...]:
    """Why outgoing packets may be lost.

    Args:
        host: the host's stack.
        egress: how packets leave.
        networks: the live networks; packets of internal ones, and of those without a bridge, do not leave this way.
        managed: whether they are our own, so that ``spec.bridge.mtu`` sets their MTU.
    """
    leaving = [n for n in networks if n.bridge and not n.internal]
    if not leaving or egress.mode is EgressMode.NONE or not host.interfaces:
        return ()
    bridges = {n.bridge for n in leaving}
    uplinks = [i for i in _uplinks(host, egress) if i.name not in bridges]
    return (
        *_source(egress, host),
        *_absent(egress, host),
        *_no_default_route(egress, uplinks, host),
        *_no_return_route(egress, leaving, uplinks),
        *_narrow(leaving, uplinks, host, managed=managed),
        *_failed(egress, uplinks),
    )


def snat_findings(address: IPv6Address, host: HostView) -> tuple[Finding, ...]:
    """The host does not have the address of ``SNAT``, or can't use it: replies are lost.

    The address may be on any interface, including loopback, if packets for it are routed to this host.
    """
    if not host.interfaces:
        return ()
    holders = [i for i in host.interfaces.values() if any(a.ip == address for a in i.addresses)]
    if any(address not in i.tentative for i in holders):
        return ()
    if not holders:
        uplink = next(iter(default_route_interfaces(host)), "lo")
        message = (
            f"the host does not have egress.snatAddress {address}, so replies are lost; run ip -6 addr add"
            f" {address}/128 dev {shell_quoted(uplink)} preferred_lft 0 (with 0 the host keeps its source address for"
            " its own connections), and add it to the network configuration to have it after a reboot"
            " (systemd-networkd: Address= and PreferredLifetime=0); or set an address that the host has"
        )
        return (_finding(Reason.ADDRESS_MISSING, message),)
    names = ", ".join(sorted(i.name for i in holders))
    if any(address in i.dad_failed for i in holders):
        message = (
            f"egress.snatAddress {address} failed duplicate address detection on {names}: another host on the link has"
            " it and gets the replies; remove it from one of the two, then delete it here and add it again"
        )
        return (_finding(Reason.DUPLICATE_ADDRESS, message),)
    message = f"egress.snatAddress {address} is still tentative (duplicate address detection on {names})"
    return (_finding(Reason.ADDRESS_PENDING, message, unknown=True),)


def _uplinks(host: HostView, egress: Egress) -> list[Interface]:
    """The existing interfaces through which packets leave."""
    names = sorted(egress.interfaces) or default_route_interfaces(host)
    return [host.interfaces[name] for name in names if name in host.interfaces]


def _source(egress: Egress, host: HostView) -> tuple[Finding, ...]:
    """The source address of translated packets."""
    if egress.mode is EgressMode.SNAT and egress.snat_address is not None:
        return snat_findings(egress.snat_address, host)
    if egress.prefix_from is None or not (why := _unusable(egress.prefix_from.interface, host)):
        return ()
    message = f"egress.prefixFrom: {why}, or name another one; the previous prefix stays in use"
    return (_finding(Reason.HOST_NOT_READY, message),)


def _absent(egress: Egress, host: HostView) -> Iterator[Finding]:
    """Interfaces of ``egress.interfaces`` that do not exist or are down. A VPN may create them later."""
    for name in egress.interfaces:
        why = _unusable(name, host)
        if why:
            message = f"egress.interfaces: {why}, or correct the name; until then no packets leave through it"
            yield _finding(Reason.HOST_NOT_READY, message, unknown=True)


def _no_default_route(egress: Egress, uplinks: Iterable[Interface], host: HostView) -> Iterator[Finding]:
    if egress.interfaces or any(uplinks):
        return
    if "all" in host.ipv6_off:
        message = (
            f"IPv6 is off on this host ({disable_ipv6('all')} is 1), so containers reach nothing beyond it;"
            f" {enable_ipv6_command(('all',))}"
        )
        yield _finding(Reason.HOST_NOT_READY, message)
        return
    ignoring = ", ".join(f"{name} (accept_ra is {value})" for name, value in sorted(host.accept_ra.items()))
    remedy = (
        f"router advertisements are ignored on {ignoring} while the host forwards; accept_ra is being set to 2,"
        " and the route returns with the next advertisement"
        if ignoring
        else "add one (ip -6 route add default via <router> dev <interface>), or if a router sends advertisements,"
        " check that accept_ra of the uplink is 2"
    )
    if host.ipv6_off:
        names = sorted(host.ipv6_off)
        remedy = f"IPv6 is off on {', '.join(names)}: if one of them is the uplink, {enable_ipv6_command(names)}"
    message = f"the host has no IPv6 default route, so containers reach only the host's own links; {remedy}"
    yield _finding(Reason.NO_DEFAULT_ROUTE, message, unknown=True)


def _no_return_route(egress: Egress, networks: Iterable[Network], uplinks: Iterable[Interface]) -> Iterator[Finding]:
    """Unique local addresses that leave untranslated. Whether others have a route back can't be seen from this host.

    The internet has none (RFC 4193, 4.1). Where the uplinks have addresses of the same /48, it is a site's own prefix.
    """
    if egress.mode is not EgressMode.ROUTED or egress.interfaces:
        return
    site = [a.network.supernet(new_prefix=SITE) for i in uplinks for a in i.addresses if a.network.prefixlen >= SITE]
    local = sorted(
        {
            c.subnet
            for n in networks
            for c in n.ipv6
            if isinstance(c.subnet, IPv6Network)
            and c.subnet.subnet_of(UNIQUE_LOCAL)
            and not any(c.subnet.overlaps(each) for each in site)
        }
    )
    if local:
        shown = ", ".join(map(str, local))
        message = (
            f"egress.mode: Routed sends packets with addresses of {shown}, which is a unique local prefix (fc00::/7):"
            " the internet drops them, and replies come back only if your routers have a route to it through this"
            " host, which can't be seen from here; use egress.mode: Masquerade, or a subnet of the provider's prefix"
        )
        yield _finding(Reason.NO_RETURN_ROUTE, message, unknown=True)


def _narrow(
    networks: Iterable[Network], uplinks: Iterable[Interface], host: HostView, *, managed: bool
) -> Iterator[Finding]:
    """Bridges with a larger MTU than an uplink.

    Each destination then costs a Packet Too Big message and a retransmission. If these messages are filtered,
    connections hang (RFC 8201, 1; RFC 4890, 4.3.1).
    """
    known = [i for i in uplinks if i.mtu > 0]
    if not known:
        return
    uplink = min(known, key=lambda i: (i.mtu, i.name))
    wide = {n.name: (n.bridge, mtu) for n in networks if (mtu := _bridge_mtu(n, host)) is not None and mtu > uplink.mtu}
    if not wide:
        return
    best = max(uplink.mtu, MINIMUM_MTU)
    bridges = ", ".join(f"{bridge} {mtu}" for _, (bridge, mtu) in sorted(wide.items()))
    remedy = (
        f"set spec.bridge.mtu: {best}" if managed else f"recreate {', '.join(sorted(wide))} with --opt {MTU}={best}"
    )
    message = (
        f"uplink {uplink.name} has an MTU of {uplink.mtu}, less than that of the bridges ({bridges}): large packets"
        f" are sent twice, or lost if ICMPv6 is filtered; {remedy}"
    )
    yield _finding(Reason.MTU_MISMATCH, message, unknown=True)


def _bridge_mtu(network: Network, host: HostView) -> int | None:
    """The MTU of the containers: the driver option, else the bridge's.

    The engine sets the option on every container's interface. The MTU of a bridge is the smallest of its ports, or 1500
    without ports (Linux net/bridge/br_if.c, br_mtu_auto_adjust).
    """
    option = small_number(network.options.get(MTU, ""))
    if option is not None:
        return option
    bridge = host.interfaces.get(network.bridge or "")
    return bridge.mtu if bridge is not None and bridge.mtu > 0 else None


def _failed(egress: Egress, uplinks: Iterable[Interface]) -> Iterator[Finding]:
    """Uplink addresses that another host has: packets can't be sent from them."""
    if egress.mode is EgressMode.SNAT:  # `snat_findings` reports it
        return
    failed = [f"{address} on {i.name}" for i in uplinks for address in sorted(i.dad_failed)]
    if failed:
        message = (
            f"duplicate address detection failed for {', '.join(failed)}: another host on the link has the address, and"
            " no packets are sent from it; give one of the two another address"
        )
        yield _finding(Reason.DUPLICATE_ADDRESS, message, unknown=True)


def _unusable(name: str, host: HostView) -> str:
    """Why an interface can't be used now, with the remedy; "": it can."""
    interface = host.interfaces.get(name)
    if interface is None:
        there = ", ".join(sorted(host.interfaces.keys() - {"lo"})) or "none"
        return f"there is no interface {name} (there are: {there}); create it"
    if name in host.ipv6_off:
        return f"IPv6 is off on interface {name}; {enable_ipv6_command((name,))}"
    return "" if interface.up else f"interface {name} is down; run ip link set {shell_quoted(name)} up"


def _finding(reason: Reason, message: str, *, unknown: bool = False) -> Finding:
    return Finding(ConditionType.HOST_READY, reason, message, blocks=False, unknown=unknown)
