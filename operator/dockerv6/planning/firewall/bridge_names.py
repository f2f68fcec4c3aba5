"""Whether an interface of the host may be named in the rules of a Docker network.

The name of a bridge is a claim: a resource writes it, or an option of a Docker network. The interface of that name may
be loopback, an uplink, a tunnel, or the bridge of virtual machines, and rules that check sources would cut it off.
While no interface has the name, rules for it concern nobody, so they can come before the bridge.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Network

from dockerv6.hostnet.model import BRIDGE, Interface


def not_bridges(names: Iterable[str], interfaces: Mapping[str, Interface]) -> frozenset[str]:
    """Those of the names that belong to an interface which is no bridge."""
    return frozenset(name for name in names if name in interfaces and interfaces[name].kind != BRIDGE)


def left_behind(name: str, interfaces: Mapping[str, Interface], subnets: Iterable[IPv6Network]) -> bool:
    """Whether an interface without a Docker network may be the bridge of a resource with these subnets.

    An engine makes the bridge before it records the network. If it is killed between the two, the bridge stays, and the
    engine uses it for the next network that asks for it. Such a bridge has no addresses yet, or those of our subnets.
    Without addresses, it has no ports either: the engine attaches containers last. Anything else belongs to others.
    """
    interface = interfaces[name]
    if interface.kind != BRIDGE:
        return False
    known = tuple(subnets)
    if not all(any(address.ip in subnet for subnet in known) for address in interface.addresses):
        return False
    return bool(interface.addresses) or not any(each.master == interface.index for each in interfaces.values())
