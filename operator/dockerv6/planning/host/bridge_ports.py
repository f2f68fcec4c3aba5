"""What is attached to a bridge besides containers. Only where nothing is, the sources of its packets are validated.

A Docker network can be made on a bridge that exists already, such as the one of the LAN or of virtual machines. Hosts
behind its other ports have addresses of their own, and validation would cut them off. Ports are distinguished by their
kind: an engine attaches containers by veth pairs; a NIC, a tap of a virtual machine, a tunnel or a VLAN is something
else. So is a veth whose other end is a port too: it leads to another bridge of this host.

A veth of another program (LXC, Podman, systemd-nspawn) looks like one of the engine's, and counts as a container's. The
address of another prefix on the bridge does not end the validation either. ADR 0041 says why.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.traffic import Firewall
from dockerv6.dockerd.model import Network
from dockerv6.hostnet.model import Interface
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.host.interfaces import other_ports, uplink_bridges
from dockerv6.planning.inputs import HostView
from dockerv6.planning.plan import Finding


def source_findings(host: HostView, firewall: Firewall, networks: Iterable[Network]) -> tuple[Finding, ...]:
    """On which bridges sources are not validated, or packets of other hosts dropped, although nobody wrote so."""
    if not firewall.source_validation:
        return ()
    return tuple(
        Finding(ConditionType.FIREWALL_READY, reason, message, blocks=False, unknown=True)
        for network in networks
        for reason, message in _unvalidated(host, network)
    )


def _unvalidated(host: HostView, network: Network) -> Iterator[tuple[Reason, str]]:
    bridge = host.interfaces.get(network.bridge or "")
    if bridge is None or not network.ipv6:
        return
    if why := not_validated(host, network):
        yield Reason.SOURCES_NOT_VALIDATED, f"{why}; write firewall.sourceValidation: false if that is intended"
        return
    subnets = [config.subnet for config in network.ipv6 if isinstance(config.subnet, IPv6Network)]
    if others := [address for address in bridge.addresses if not any(address.ip in subnet for subnet in subnets)]:
        message = (
            f"bridge {bridge.name} of Docker network {network.name} also has address {', '.join(map(str, others))}:"
            " packets from it with sources outside the subnets of the Docker network are dropped; write"
            f" firewall.sourceValidation: false if hosts of that prefix are attached to {bridge.name}, or else remove"
            f" the address (ip address del {others[0]} dev {shell_quoted(bridge.name)})"
        )
        yield Reason.SOURCES_DROPPED, message


def not_validated(host: HostView, network: Network) -> str:
    """Why the sources of packets from a network's bridge are not validated, with a remedy; "": they are."""
    name = network.bridge or ""
    where = f"source addresses are not validated on bridge {name} of Docker network {network.name}"
    if ports := other_ports(host).get(name):
        kinds = ", ".join(_with_kind(host.interfaces[port]) for port in ports)
        verb = "is a port" if len(ports) == 1 else "are ports"
        return (
            f"{where}: {kinds} {verb} of it, so hosts or virtual machines with other addresses may send through it, and"
            " containers can forge theirs; remove what does not belong there"
            f" (ip link set {shell_quoted(ports[0])} nomaster)"
        )
    if name in uplink_bridges(host):
        return f"{where}: the default route leads through it, so packets from everywhere come in there"
    return ""


def _with_kind(port: Interface) -> str:
    return f"{port.name} ({port.kind})" if port.kind else port.name
