"""Ports that are bound to an address which the host does not have, or not yet. Pure.

Their rules stand in the table all the same: they ask whether the address is the host's when a packet comes.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address

from dockerv6.api.conditions import Reason
from dockerv6.firewall.model import PortIntent
from dockerv6.planning.firewall.port_claims import PortProblem, shown
from dockerv6.planning.inputs import HostView

HostAddresses = Mapping[IPv6Address, str]
"""Global and unique-local addresses of the host, and why packets for them are not answered; "": they are."""


def host_addresses(host: HostView) -> HostAddresses:
    """Those that the host has now."""
    found: dict[IPv6Address, str] = {}
    for interface in host.interfaces.values():
        for address in (each.ip for each in interface.addresses):
            if address not in interface.tentative:
                found[address] = ""
            elif address in interface.dad_failed:
                why = f"the address failed duplicate address detection: somebody else on {interface.name} has it"
                found.setdefault(address, why)
            else:
                why = f"the address is still tentative (duplicate address detection on {interface.name})"
                found.setdefault(address, why)
    return found


def pending_addresses(ports: Iterable[PortIntent], host: HostView) -> tuple[PortProblem, ...]:
    """Why ports that are published on one address can't be reached there yet."""
    bound = [(port, port.host_address) for port in ports if port.host_address is not None]
    if not bound or not host.interfaces:  # without a single one, nothing is known of the host
        return ()
    there = host_addresses(host)
    said = (
        f"{port.protocol} port {port.port} on {shown(address)}: {why}"
        for port, address in bound
        if (why := _why_not(address, there))
    )
    return tuple(PortProblem(Reason.ADDRESS_PENDING, message, waiting=True) for message in said)


def _why_not(address: IPv6Address, there: HostAddresses) -> str:
    if address.is_loopback or address.is_link_local:  # nobody lists those
        return ""
    if address not in there:
        return "the host has no such address; it is taken up when it appears"
    return there[address]
