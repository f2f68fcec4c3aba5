"""Whether the host has what a macvlan or ipvlan network stands on: the parent, an interface of the host's own.

Measured with engines 20.10, 26.1 and 28.5; docs/macvlan.md tells all of it. What keeps the engine from making the
network, or every container from being started on it, blocks; what merely may not work is doubtful. A network that
exists is never taken down because of its parent: findings leave alone what is there.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.errors import format_path
from dockerv6.api.network import IPv6NetworkSpec
from dockerv6.api.options import IPVLAN_FLAG, IPVLAN_MODE, LAYER_3_MODES, MACVLAN_MODE, PARENT, Driver
from dockerv6.dockerd.model import EngineInfo, Network, NetworkSpec
from dockerv6.hostnet.model import Interface
from dockerv6.planning.inputs import HostView, Observed
from dockerv6.planning.plan import Finding

SHARED_SINCE = (27, 0)  # older engines take one macvlan network a parent; of ipvlan, all take one (moby 528ffa9cae)
L3S_SINCE = (23, 0)  # older engines refuse mode l3s, and ignore ipvlan_flag in silence (moby f70a9788c5)
PASSTHRU = "passthru"
RETRY = 30.0  # seconds until a parent is looked at again that others may have mended: the kernel tells of links only

_VLAN = re.compile(r"(?P<base>[^.]+)\.0*(?P<vid>[1-9]\d{0,3})", re.ASCII)
"""What engines make VLAN interfaces from: libnetwork, parseVlan()."""

_HIGHEST_VID = 4094
_SHARABLE = frozenset({"vrf"})
"""Kinds of masters that leave their interfaces' packets to others: they don't use the kernel's one receive handler."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One network, wished for or live, on one host."""

    driver: str
    mode: str  # "" for the engine's default
    parent: str
    subnets: tuple[IPv6Network, ...]
    host: HostView
    engine: EngineInfo | None
    others: tuple[Network, ...]  # all but the network itself
    live: Network | None  # the network, if it exists on this very parent

    @property
    def layer3(self) -> bool:
        return self.driver == Driver.IPVLAN and self.mode in LAYER_3_MODES


def parent_of(driver: str, options: Mapping[str, str]) -> str | None:
    """The interface that the network stands on; None for other drivers, or where the engine makes one of its own."""
    return (options.get(PARENT) or None) if driver in (Driver.MACVLAN, Driver.IPVLAN) else None


def shared_link(driver: str, options: Mapping[str, str]) -> str | None:
    """The interface whose link containers are on beside the host's neighbours: its on-link prefix may well be theirs.

    None where the network needs a prefix that nobody else has: on a bridge, and in ipvlan's modes l3 and l3s.
    """
    routed = driver == Driver.IPVLAN and options.get(IPVLAN_MODE) in LAYER_3_MODES
    return None if routed else parent_of(driver, options)


def watched_interfaces(driver: str, options: Mapping[str, str]) -> frozenset[str]:
    """The interfaces whose coming, going and being set up or down concerns the network."""
    parent = parent_of(driver, options)
    if parent is None:
        return frozenset()
    vlan = _vlan(parent)
    return frozenset({parent} if vlan is None else {parent, vlan[0]})


def parent_findings(wanted: NetworkSpec | Network, live: Network | None, observed: Observed) -> tuple[Finding, ...]:
    """What a person should know about the parent. Nothing for other drivers, or without a parent.

    Args:
        wanted: what is asked for, or somebody else's network as it is.
        live: the resource's own network, or that of somebody else, if there is one.
        observed: the host, the engine and its networks.
    """
    parent = parent_of(wanted.driver, wanted.options)
    if parent is None:
        return ()
    holds = live is not None and parent_of(live.driver, live.options) == parent and live.driver == wanted.driver
    case = _Case(
        wanted.driver,
        wanted.options.get(IPVLAN_MODE, "") if wanted.driver == Driver.IPVLAN else "",
        parent,
        tuple(c.subnet for c in wanted.ipam if isinstance(c.subnet, IPv6Network)),
        observed.host,
        observed.engine,
        tuple(n for n in observed.networks if live is None or n.id != live.id),
        live if holds else None,
    )
    passthru = wanted.options.get(MACVLAN_MODE) == PASSTHRU
    return (
        *(() if wanted is live else _too_old(case, wanted.options)),
        *_interface(case),
        *_users(case, passthru=passthru),
    )


def ineffective_findings(spec: IPv6NetworkSpec, live: Network) -> tuple[Finding, ...]:
    """What a resource asks in vain of somebody else's network, whose driver was not known when it was written."""
    if live.driver not in (Driver.MACVLAN, Driver.IPVLAN):
        return ()
    routed = live.driver == Driver.IPVLAN and live.options.get(IPVLAN_MODE) in LAYER_3_MODES
    return tuple(
        Finding(
            ConditionType.FIREWALL_READY,
            Reason.FIREWALL_BLOCKED,
            f"spec.{format_path(error.path)} has no effect on Docker network {live.name}: {error.message};"
            f" {error.remedy}",
            blocks=False,
            unknown=True,
        )
        for error in spec.errors_on_driver(Driver(live.driver), layer3=routed)
    )


def _too_old(case: _Case, options: Mapping[str, str]) -> Iterator[Finding]:
    if case.engine is None or case.engine.release >= L3S_SINCE or case.driver != Driver.IPVLAN:
        return
    asked = [f"{IPVLAN_MODE}: {case.mode}"] if case.mode == "l3s" else []
    asked += [f"{IPVLAN_FLAG}: {options[IPVLAN_FLAG]}"] if options.get(IPVLAN_FLAG, "bridge") != "bridge" else []
    if asked:
        yield Finding(
            ConditionType.NETWORK_READY,
            Reason.ENGINE_TOO_OLD,
            f"spec.options.{asked[0]} needs Docker Engine 23.0 or later, this is {case.engine.version};"
            " remove it or upgrade the engine",
        )


def _interface(case: _Case) -> Iterator[Finding]:
    """The parent itself."""
    if not case.host.interfaces:  # not known
        return
    interface = case.host.interfaces.get(case.parent)
    if interface is None:
        yield from _gone(case, case.live) if case.live is not None else _missing(case)
        return
    yield from _enslaved(case, interface)
    if not interface.up:
        yield _doubt(
            f"interface {case.parent} is down, and the engine leaves it so: nobody reaches the network's containers,"
            f" nor they anybody outside; ip link set {case.parent} up"
        )
    elif case.layer3:
        yield from _routing(case)


def _gone(case: _Case, live: Network) -> Iterator[Finding]:
    """It vanished under the network. That of a VLAN may have been made by the engine, which does so as it starts."""
    vlan = _vlan(case.parent)
    if vlan is not None and vlan[0] in case.host.interfaces:
        base, vid = vlan
        remedy = (
            f"restart the engine, or make it again (ip link add link {base} name {case.parent} type vlan id {vid};"
            f" ip link set {case.parent} up), and then restart the containers"
        )
    else:
        remedy = (
            "bring it back under this name, and then restart the containers (and the engine first, if it was started"
            " while the interface was gone)"
        )
    yield _fault(
        f"interface {case.parent} of Docker network {live.name} is gone: its running containers lost the network, and"
        f" none can be started; {remedy}"
    )


def _missing(case: _Case) -> Iterator[Finding]:
    """There is none yet; the engine makes the interface of a VLAN, if what it is to be made of is there and up."""
    vlan = _vlan(case.parent)
    if vlan is None:
        bridges = {n.bridge for n in case.others}
        eligible = (
            i.name for i in case.host.interfaces.values() if i.name not in bridges | {"lo"} and i.master is None
        )
        there = ", ".join(sorted(eligible)) or "none"
        hint = "; engines make interfaces of VLANs only, named like eth0.100" if "." in case.parent else ""
        yield _fault(
            f"there is no interface {case.parent} on this host; correct spec.options.{PARENT} (there are: {there}), or"
            f" bring it up: the network is made when it appears{hint}"
        )
        return
    base = case.host.interfaces.get(vlan[0])
    if base is None:
        yield _fault(
            f"there is no interface {vlan[0]} on this host to make VLAN interface {case.parent} of; correct"
            f" spec.options.{PARENT}, or bring it up: the network is made when it appears"
        )
    elif not base.up:
        yield _fault(
            f"interface {base.name} is down, and the engine makes VLAN interface {case.parent} only of one that is up;"
            f" ip link set {base.name} up"
        )


def _enslaved(case: _Case, interface: Interface) -> Iterator[Finding]:
    """The kernel gives an interface's packets to one taker only: to a bridge or bond, or to macvlan, or to ipvlan."""
    if interface.master is None:
        return
    master = next((i for i in case.host.interfaces.values() if i.index == interface.master), None)
    if master is None or master.kind in _SHARABLE:
        return
    yield _fault(
        f"interface {case.parent} belongs to {master.kind} {master.name}, which takes all its packets, so that no"
        f" container can be started on it; write spec.options.{PARENT}: {master.name}, or"
        f" ip link set {case.parent} nomaster"
    )


def _routing(case: _Case) -> Iterator[Finding]:
    """Modes l3 and l3s: the host routes for the containers, and nobody speaks neighbour discovery for them."""
    routes = case.host.routes
    if routes and not any(r.interface == case.parent for r in routes):
        yield _doubt(
            f"interface {case.parent} has no IPv6, and mode {case.mode} sends by the host's own routes; give it an"
            f" address (and see that net.ipv6.conf.{case.parent}.disable_ipv6 is 0)"
        )
    held = case.host.interfaces[case.parent].addresses
    address = next((a for a in held if any(s.subnet_of(a.network) for s in case.subnets)), None)
    if address is not None:
        yield _doubt(
            f"{case.parent} is on {address.network}, and in mode {case.mode} nobody answers its neighbours when they"
            f" ask for a container there; choose a subnet that the router sends to {address.ip}, or mode l2"
        )


def _users(case: _Case, *, passthru: bool) -> Iterator[Finding]:
    """Other networks that have to do with the same interface."""
    # whom the engine gave the parent already, in the same way, it gave it beside whoever is there
    held = case.live is not None and (case.live.options.get(MACVLAN_MODE) == PASSTHRU) == passthru
    bridge = next((n for n in case.others if n.bridge == case.parent), None)
    if bridge is not None:
        yield _doubt(
            f"{case.parent} is the bridge of Docker network {bridge.name}: containers there and here reach one another"
            f" past its isolation; write another spec.options.{PARENT}, or attach the containers to {bridge.name}"
        )
    for other in case.others:
        if parent_of(other.driver, other.options) != case.parent:
            continue
        if other.driver != case.driver:
            yield _doubt(
                f"interface {case.parent} is {other.driver} network {other.name}'s too, and the kernel serves one of"
                f" the drivers at a time: while a container of one network runs, none of the other can be started;"
                f" write another spec.options.{PARENT}, such as a VLAN of it"
            )
        elif not held and not _share(case, other, passthru=passthru):
            yield _fault(_taken(case, other, passthru=passthru))


def _share(case: _Case, other: Network, *, passthru: bool) -> bool:
    """Whether the engine takes two networks of a driver on one parent."""
    if case.driver != Driver.MACVLAN or (case.engine is not None and case.engine.release < SHARED_SINCE):
        return False
    return not passthru and other.options.get(MACVLAN_MODE) != PASSTHRU


def _taken(case: _Case, other: Network, *, passthru: bool) -> str:
    remedy = f"write another spec.options.{PARENT}, such as a VLAN of it"
    if case.driver == Driver.MACVLAN and case.engine is not None and case.engine.release < SHARED_SINCE:
        remedy += ", or upgrade the engine to 27.0 or later, which let macvlan networks share one"
    alone = " alone (mode passthru)" if passthru or other.options.get(MACVLAN_MODE) == PASSTHRU else ""
    return f"interface {case.parent} is Docker network {other.name}'s, and the engine gives it to one{alone}; {remedy}"


def _vlan(parent: str) -> tuple[str, int] | None:
    """The base and the number of a VLAN's interface, if the engine can make it from its name."""
    match = _VLAN.fullmatch(parent)
    if match is None or int(match["vid"]) > _HIGHEST_VID:
        return None
    return match["base"], int(match["vid"])


def _fault(message: str) -> Finding:
    return Finding(ConditionType.NETWORK_READY, Reason.PARENT_NOT_READY, message, retry=RETRY)


def _doubt(message: str) -> Finding:
    return Finding(
        ConditionType.NETWORK_READY, Reason.PARENT_NOT_READY, message, blocks=False, retry=RETRY, unknown=True
    )
