"""TODO."""

from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Interface

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.dockerd.model import Network
from dockerv6.planning.inputs import HostView, Observed
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import (
    RepairBridge,
    SetBridgeNetfilter,
    SetHairpin,
    Step,
)

BRIDGE_NETFILTER = "net.bridge.bridge-nf-call-ip6tables"


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


def bridge_gone(host: HostView, live: Network) -> str:
    """A bridge that was deleted under its network: the engine does not make it again before its own restart."""
    bridge = live.bridge
    if bridge is None or not host.interfaces or bridge in host.interfaces:
        return ""
    return f"bridge {bridge} of Docker network {live.name} was deleted"


def _mend(observed: Observed, live: Network) -> tuple[RepairBridge, ...]:
    """A bridge that lost an address or was set down gets what its network has, not what the next one shall have.

    An address that failed duplicate address detection is as good as lost: the gateway is the bridge, whoever else
    claims to be it. One that is merely tentative will be of use in a second.
    """
    interface = observed.host.interfaces.get(live.bridge or "")
    if interface is None:
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
