"""Findings about the parent interface of a macvlan or ipvlan network.

Measured with engines 20.10, 26.1 and 28.5; see docs/macvlan.md. A finding blocks if the engine can't create the network
or can't start any container on it. Otherwise the condition is Unknown. An existing network is never removed because of
its parent.
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
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.inputs import HostView, Observed
from dockerv6.planning.plan import Finding

SHARED_SINCE = (
    27,
    0,
)  # older engines allow one macvlan network per parent; all allow one ipvlan network (moby 528ffa9cae)
L3S_SINCE = (23, 0)  # older engines refuse mode l3s and ignore ipvlan_flag (moby f70a9788c5)
PASSTHRU = "passthru"
RETRY = 30.0
"""Seconds until a parent is checked again. The kernel announces links, but not all that the findings depend on."""

_VLAN = re.compile(r"(?P<base>[^.]+)\.0*(?P<vid>[1-9]\d{0,3})", re.ASCII)
"""The names from which engines create VLAN interfaces: libnetwork, parseVlan()."""

_HIGHEST_VID = 4094
_SHARABLE = frozenset({"vrf"})
"""Kinds of masters that do not take the receive handler, of which an interface has one."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One network, desired or live, on one host."""

    driver: str
    mode: str  # "": the engine's default
    parent: str
    subnets: tuple[IPv6Network, ...]
    host: HostView
    engine: EngineInfo | None
    others: tuple[Network, ...]  # all except this one
    live: Network | None  # this network, if it exists on this parent

    @property
    def layer3(self) -> bool:
        return self.driver == Driver.IPVLAN and self.mode in LAYER_3_MODES


def parent_of(driver: str, options: Mapping[str, str]) -> str | None:
    """The parent interface; None for other drivers, or if the engine creates a dummy interface."""
    return (options.get(PARENT) or None) if driver in (Driver.MACVLAN, Driver.IPVLAN) else None


def shared_link(driver: str, options: Mapping[str, str]) -> str | None:
    """The interface whose link the containers share with the host's neighbours, so that they may use its prefix.

    None if the network needs a prefix of its own: on a bridge, and in ipvlan modes l3 and l3s.
    """
    routed = driver == Driver.IPVLAN and options.get(IPVLAN_MODE) in LAYER_3_MODES
    return None if routed else parent_of(driver, options)


def watched_interfaces(driver: str, options: Mapping[str, str]) -> frozenset[str]:
    """The interfaces whose creation, deletion or state change affects the network."""
    parent = parent_of(driver, options)
    if parent is None:
        return frozenset()
    vlan = _vlan(parent)
    return frozenset({parent} if vlan is None else {parent, vlan[0]})


def parent_findings(wanted: NetworkSpec | Network, live: Network | None, observed: Observed) -> tuple[Finding, ...]:
    """Why the network does not work on its parent. Empty for other drivers, or without a parent.

    Args:
        wanted: the desired network, or an observed one as it is.
        live: the live network, own or observed.
        observed: the host, the engine and its networks.
    """
    parent = parent_of(wanted.driver, wanted.options)
    if parent is None:
        return ()
    unchanged = live is not None and parent_of(live.driver, live.options) == parent and live.driver == wanted.driver
    case = _Case(
        wanted.driver,
        wanted.options.get(IPVLAN_MODE, "") if wanted.driver == Driver.IPVLAN else "",
        parent,
        tuple(c.subnet for c in wanted.ipam if isinstance(c.subnet, IPv6Network)),
        observed.host,
        observed.engine,
        tuple(n for n in observed.networks if live is None or n.id != live.id),
        live if unchanged else None,
    )
    passthru = wanted.options.get(MACVLAN_MODE) == PASSTHRU
    return (
        *(() if wanted is live else _too_old(case, wanted.options)),
        *_interface(case),
        *_users(case, passthru=passthru),
    )


def ineffective_findings(spec: IPv6NetworkSpec, live: Network) -> tuple[Finding, ...]:
    """Fields without effect on an observed network, because of its driver."""
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
    unsupported = [f"{IPVLAN_MODE}: {case.mode}"] if case.mode == "l3s" else []
    unsupported += [f"{IPVLAN_FLAG}: {options[IPVLAN_FLAG]}"] if options.get(IPVLAN_FLAG, "bridge") != "bridge" else []
    if unsupported:
        yield Finding(
            ConditionType.NETWORK_READY,
            Reason.ENGINE_TOO_OLD,
            f"spec.options.{unsupported[0]} needs Docker Engine 23.0 or later, this is {case.engine.version};"
            " remove it or upgrade the engine",
        )


def _interface(case: _Case) -> Iterator[Finding]:
    """The parent interface itself."""
    if not case.host.interfaces:  # the host has not been observed
        return
    interface = case.host.interfaces.get(case.parent)
    if interface is None:
        yield from _deleted(case, case.live) if case.live is not None else _missing(case)
        return
    yield from _enslaved(case, interface)
    if not interface.up:
        yield _unknown(
            f"interface {case.parent} is down, and the engine does not set it up, so the network's containers reach"
            f" only one another; run ip link set {shell_quoted(case.parent)} up"
        )
    elif case.layer3:
        yield from _routing(case)


def _deleted(case: _Case, live: Network) -> Iterator[Finding]:
    """The parent of a live network was deleted. The engine creates VLAN interfaces, but only when it starts."""
    vlan = _vlan(case.parent)
    if vlan is not None and vlan[0] in case.host.interfaces:
        base, name = shell_quoted(vlan[0]), shell_quoted(case.parent)
        remedy = (
            f"restart the engine, or create it again (ip link add link {base} name {name} type vlan id {vlan[1]};"
            f" ip link set {name} up), and then restart the containers"
        )
    else:
        remedy = (
            "create it again with this name, then restart the containers (and before them the engine, if it was started"
            " while the interface did not exist)"
        )
    yield _blocking(
        f"interface {case.parent} of Docker network {live.name} was deleted: its running containers lost the network,"
        f" and none can be started; {remedy}"
    )


def _missing(case: _Case) -> Iterator[Finding]:
    """The parent does not exist. The engine creates a VLAN interface if its base interface exists and is up."""
    vlan = _vlan(case.parent)
    if vlan is None:
        bridges = {n.bridge for n in case.others}
        eligible = (
            i.name for i in case.host.interfaces.values() if i.name not in bridges | {"lo"} and i.master is None
        )
        there = ", ".join(sorted(eligible)) or "none"
        hint = "; the engine creates only VLAN interfaces, with names like eth0.100" if "." in case.parent else ""
        yield _blocking(
            f"there is no interface {case.parent} on this host; correct spec.options.{PARENT} (there are: {there}), or"
            f" create the interface{hint}"
        )
        return
    base = case.host.interfaces.get(vlan[0])
    if base is None:
        yield _blocking(
            f"there is no interface {vlan[0]} on this host, which VLAN interface {case.parent} needs; correct"
            f" spec.options.{PARENT}, or create the interface"
        )
    elif not base.up:
        yield _blocking(
            f"interface {base.name} is down, so the engine can't create VLAN interface {case.parent};"
            f" run ip link set {shell_quoted(base.name)} up"
        )


def _enslaved(case: _Case, interface: Interface) -> Iterator[Finding]:
    """The kernel passes an interface's packets to one receiver: a bridge or bond, or macvlan, or ipvlan."""
    if interface.master is None:
        return
    master = next((i for i in case.host.interfaces.values() if i.index == interface.master), None)
    if master is None or master.kind in _SHARABLE:
        return
    yield _blocking(
        f"interface {case.parent} is a port of {master.kind} {master.name}, which receives all its packets, so no"
        f" container can be started on it; set spec.options.{PARENT}: {master.name}, or run"
        f" ip link set {shell_quoted(case.parent)} nomaster"
    )


def _routing(case: _Case) -> Iterator[Finding]:
    """Modes l3 and l3s: the host routes for the containers, without neighbour discovery."""
    routes = case.host.routes
    if routes and not any(r.interface == case.parent for r in routes):
        yield _unknown(
            f"interface {case.parent} has no IPv6, and mode {case.mode} uses the host's routes; give it an address, and"
            f" check that net.ipv6.conf.{case.parent}.disable_ipv6 is 0"
        )
    addresses = case.host.interfaces[case.parent].addresses
    address = next((a for a in addresses if any(s.subnet_of(a.network) for s in case.subnets)), None)
    if address is not None:
        yield _unknown(
            f"{case.parent} is on {address.network}, and in mode {case.mode} nothing answers neighbour solicitations"
            f" for containers there; choose a subnet that the router routes to {address.ip}, or use mode l2"
        )


def _users(case: _Case, *, passthru: bool) -> Iterator[Finding]:
    """Other networks on the same interface."""
    # a live network with the same mode: the engine has accepted it next to the others
    accepted = case.live is not None and (case.live.options.get(MACVLAN_MODE) == PASSTHRU) == passthru
    bridge = next((n for n in case.others if n.bridge == case.parent), None)
    if bridge is not None:
        yield _unknown(
            f"{case.parent} is the bridge of Docker network {bridge.name}, so containers of the two networks reach one"
            f" another despite isolation; set another spec.options.{PARENT}, or attach the containers to {bridge.name}"
        )
    for other in case.others:
        if parent_of(other.driver, other.options) != case.parent:
            continue
        if other.driver != case.driver:
            yield _unknown(
                f"{other.driver} network {other.name} uses interface {case.parent} too, and the kernel allows one"
                f" driver at a time: while a container of one network runs, none of the other can be started;"
                f" set another spec.options.{PARENT}, such as a VLAN of it"
            )
        elif not accepted and not _can_share(case, other, passthru=passthru):
            yield _blocking(_taken(case, other, passthru=passthru))


def _can_share(case: _Case, other: Network, *, passthru: bool) -> bool:
    """Whether the engine allows two networks of a driver on one parent."""
    if case.driver != Driver.MACVLAN or (case.engine is not None and case.engine.release < SHARED_SINCE):
        return False
    return not passthru and other.options.get(MACVLAN_MODE) != PASSTHRU


def _taken(case: _Case, other: Network, *, passthru: bool) -> str:
    remedy = f"set another spec.options.{PARENT}, such as a VLAN of it"
    if case.driver == Driver.MACVLAN and case.engine is not None and case.engine.release < SHARED_SINCE:
        remedy += ", or upgrade the engine to 27.0 or later, where macvlan networks can share a parent"
    exclusive = " (mode passthru)" if passthru or other.options.get(MACVLAN_MODE) == PASSTHRU else ""
    return (
        f"Docker network {other.name} uses interface {case.parent}, and the engine allows only one network on"
        f" it{exclusive}; {remedy}"
    )


def _vlan(parent: str) -> tuple[str, int] | None:
    """The base interface and the VLAN id, if the engine can create the interface from its name."""
    match = _VLAN.fullmatch(parent)
    if match is None or int(match["vid"]) > _HIGHEST_VID:
        return None
    return match["base"], int(match["vid"])


def _blocking(message: str) -> Finding:
    return Finding(ConditionType.NETWORK_READY, Reason.PARENT_NOT_READY, message, retry=RETRY)


def _unknown(message: str) -> Finding:
    return Finding(
        ConditionType.NETWORK_READY, Reason.PARENT_NOT_READY, message, blocks=False, retry=RETRY, unknown=True
    )
