"""Conflicts of a prefix or a Docker network with other resources, pools, live networks and the host's routes."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.dockerd.model import BRIDGE_NAME, COMPOSE_PROJECT, Network, NetworkSpec
from dockerv6.hostnet.model import Route, RouteProtocol
from dockerv6.ipam.ledger import AllocationState
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.addressing.pools import cooldown, known_prefixes
from dockerv6.planning.firewall.bridge_names import left_behind
from dockerv6.planning.firewall.contributions import resource_of
from dockerv6.planning.host.interfaces import external_interfaces
from dockerv6.planning.host.parents import shared_link
from dockerv6.planning.inputs import NAME_LABEL, Desired, Holdings, Observed
from dockerv6.planning.plan import Finding

_BITS = 128
LONGEST_PART = 48
"""Bits of the part of a link's prefix that a message suggests: a /80, the length that Docker's documentation uses."""

_ANSWERED = "spec.ndpProxy: {enabled: true} and spec.egress: {mode: Routed}"

RETRY = 30.0
"""Seconds until a conflict that others may have ended is checked again."""


def prefix_conflict(
    desired: Desired, observed: Observed, holdings: Holdings, prefix: IPv6Network, *, pooled: bool = False
) -> str:
    """The first other user of the prefix, as a noun phrase for messages; "": there is none.

    ``pooled``: the prefix comes from a pool. An on-link prefix in a pool is meant to be divided.
    A whole pool is no conflict for a resource that already has the prefix: a pool that is declared later can't take it.
    """
    bound = holdings.bound.get(desired.name)
    has_it = bound is not None and bound.prefix == prefix
    others = (
        _other_resources(desired, observed, holdings, prefix),
        () if has_it else _whole_pools(desired, holdings, prefix),
        _docker_networks(desired, observed, prefix),
        _translated(desired, observed, prefix),
        _routes(desired, observed, prefix, on_link_ok=pooled or desired.resource.spec.ndp_proxy.enabled),
    )
    return next((other for group in others for other in group), "")


def on_link_remedy(desired: Desired, observed: Observed, prefix: IPv6Network) -> str:
    """How to use a prefix of a link that the host is on, such as a VPS's only /64; "": it is not of such a link."""
    links = [
        route.destination
        for route in foreign_routes(desired, observed)
        if route.protocol is RouteProtocol.KERNEL
        and prefix.subnet_of(route.destination)
        and route.interface in external_interfaces(observed.host)
    ]
    if not links:
        return ""
    if prefix in links and prefix.prefixlen < _BITS - LONGEST_PART:
        part = IPv6Network((prefix.network_address + (1 << LONGEST_PART), _BITS - LONGEST_PART))
        return f"take a part of it, such as subnet: {part}, with {_ANSWERED}"
    return f"set {_ANSWERED}, so that the host answers its neighbours for the containers"


def _other_resources(desired: Desired, observed: Observed, holdings: Holdings, prefix: IPv6Network) -> Iterator[str]:
    for allocation in holdings.allocations:
        if allocation.owner == desired.name or not allocation.prefix.overlaps(prefix):
            continue
        if allocation.state is AllocationState.BOUND:
            yield f"{allocation.prefix} of IPv6Network {allocation.owner}"
        elif observed.now < allocation.since + cooldown(allocation.pool, desired.pools):
            yield f"{allocation.prefix}, which IPv6Network {allocation.owner} released and which is in cooldown"


def _whole_pools(desired: Desired, holdings: Holdings, prefix: IPv6Network) -> Iterator[str]:
    for name, pool in sorted(desired.pools.items()):
        known = known_prefixes(pool, holdings)
        if not isinstance(known, Finding) and known and all(each.subnet_of(prefix) for each in known):
            more = f" and {len(known) - 1} more" if len(known) > 1 else ""
            yield f"the whole of IPv6Pool {name} ({known[0]}{more})"


def _docker_networks(desired: Desired, observed: Observed, prefix: IPv6Network) -> Iterator[str]:
    for subnet, network in foreign_subnets(desired, observed):
        if subnet.overlaps(prefix):
            yield f"{subnet} of Docker network {network}"


def _translated(desired: Desired, observed: Observed, prefix: IPv6Network) -> Iterator[str]:
    for external, resource in foreign_external_prefixes(desired, observed):
        if external.overlaps(prefix):
            yield f"{external}, the external prefix of {resource}"


def _routes(desired: Desired, observed: Observed, prefix: IPv6Network, *, on_link_ok: bool) -> Iterator[str]:
    for route in foreign_routes(desired, observed):
        if _captures(route, prefix, on_link_ok=on_link_ok):
            yield f"the host's route {route.destination} on {route.interface or 'no interface'} ({route.protocol})"


def _captures(route: Route, prefix: IPv6Network, *, on_link_ok: bool) -> bool:
    """Whether the route would take packets of the prefix, or the prefix those of the route.

    A shorter route through a gateway (an aggregate, a VPN's fc00::/7, `unreachable` on a delegated prefix) does not
    conflict: our subnet is more specific. An on-link route (protocol kernel) means that neighbours have the addresses.
    """
    if route.destination.subnet_of(prefix):
        return True
    return prefix.subnet_of(route.destination) and route.protocol is RouteProtocol.KERNEL and not on_link_ok


def network_conflict(
    desired: Desired, observed: Observed, holdings: Holdings, live: Network | None, want: NetworkSpec
) -> Finding | None:
    """What the engine would refuse as a duplicate, or share. It is checked before the live network is removed."""
    taken = name_conflict(desired, observed, live)
    if taken is not None:
        return taken
    own = observed.owned(desired)
    if live is not None and not _moves(live, want):
        return None
    for other in observed.networks:
        if other in own:
            continue
        if other.bridge is not None and other.bridge == want.options.get(BRIDGE_NAME):
            message = f"Docker network {other.name} uses bridge {other.bridge}; choose another spec.bridge.name"
            return Finding(ConditionType.NETWORK_READY, Reason.NAME_CONFLICT, message, retry=RETRY)
        for subnet in (c.subnet for c in want.ipam if isinstance(c.subnet, IPv4Network)):
            if any(isinstance(c.subnet, IPv4Network) and c.subnet.overlaps(subnet) for c in other.ipv4):
                message = (
                    f"IPv4 subnet {subnet} overlaps that of Docker network {other.name};"
                    " choose another spec.ipv4.subnet"
                )
                return Finding(ConditionType.NETWORK_READY, Reason.SUBNET_OVERLAP, message, retry=RETRY)
    return _interface_taken(desired, observed, holdings, want)


def name_conflict(desired: Desired, observed: Observed, live: Network | None) -> Finding | None:
    """Another Docker network has the name that the resource asks for."""
    name = desired.resource.docker_name
    if live is not None and live.name == name:
        return None
    own = observed.owned(desired)
    return next((_name_taken(desired, n) for n in observed.networks.named(name) if n not in own), None)


def _interface_taken(desired: Desired, observed: Observed, holdings: Holdings, want: NetworkSpec) -> Finding | None:
    """An interface has the name of the bridge, and no Docker network of the resource has it.

    Engines use any bridge that exists, so containers would be beside virtual machines. `left_behind`
    allows what a killed engine left. A bridge without addresses may be anybody's, such as that of libvirt, unless it
    has the name that we derive from the resource's name.
    """
    name, interfaces = want.options.get(BRIDGE_NAME), observed.host.interfaces
    if name is None or name not in interfaces or any(n.bridge == name for n in observed.owned(desired)):
        return None
    subnets = (c.subnet for c in want.ipam if isinstance(c.subnet, IPv6Network))
    recognised = bool(interfaces[name].addresses) or not desired.resource.spec.bridge.name
    if recognised and left_behind(name, interfaces, (*subnets, *holdings.subnets_of(desired.name))):
        return None
    message = (
        f"interface {name} exists and is not the bridge of a Docker network of this resource;"
        " choose another spec.bridge.name"
    )
    return Finding(ConditionType.NETWORK_READY, Reason.NAME_CONFLICT, message, retry=RETRY)


def _moves(live: Network, want: NetworkSpec) -> bool:
    """Whether the network needs a bridge or IPv4 subnet that the live one does not have."""
    subnets = {c.subnet for c in want.ipam if isinstance(c.subnet, IPv4Network)}
    return live.bridge != want.options.get(BRIDGE_NAME) or not subnets <= {c.subnet for c in live.ipv4}


def _name_taken(desired: Desired, other: Network) -> Finding:
    if desired.identity.labelled(other):
        owner = other.labels.get(NAME_LABEL)
        message = (
            f"Docker network {other.name} belongs to IPv6Network {owner}; choose another networkName for one of them"
        )
        return Finding(ConditionType.NETWORK_READY, Reason.NAME_CONFLICT, message, retry=RETRY)
    if other.problem:
        message = (
            f"Docker network {other.name} can't be read ({other.problem}) and is not touched; compare the output of"
            f" `docker network inspect {shell_quoted(other.name)}`, and restart the engine if it is wrong there too"
        )
        return Finding(ConditionType.NETWORK_READY, Reason.FOREIGN_NETWORK, message, retry=RETRY)
    creator = (
        "another installation of dockerv6 created it"
        if desired.identity.is_of_another(other)
        else ("dockerv6 did not create it")
    )
    remedy = "set managementPolicy: Observe" if other.ipv6 else no_ipv6_remedy(other)
    return Finding(
        ConditionType.NETWORK_READY,
        Reason.FOREIGN_NETWORK,
        f"Docker network {other.name} exists, and {creator}; remove it, choose another networkName, or {remedy}",
    )


def no_ipv6_remedy(network: Network) -> str:
    """What gives IPv6 to the containers of a network without it, which Docker can't add to a network that exists."""
    project = network.labels.get(COMPOSE_PROJECT)
    label = f"{COMPOSE_PROJECT}: {project}" if project else "<label>: <value>"
    whose = f"of the Compose project {project}" if project else "with that label"
    return (
        f"leave that network as it is, without IPv6, and attach the containers {whose} to a network of this resource:"
        f" remove networkName and managementPolicy, and set spec.members: {{matchLabels: {{{label}}}}}"
    )


def foreign_subnets(desired: Desired, observed: Observed) -> Iterator[tuple[IPv6Network, str]]:
    """The IPv6 subnets of all Docker networks except the resource's own."""
    own = observed.owned(desired)
    for network in observed.networks:
        if network not in own:
            for config in network.ipv6:
                if isinstance(config.subnet, IPv6Network):
                    yield config.subnet, network.name


def foreign_external_prefixes(desired: Desired, observed: Observed) -> Iterator[tuple[IPv6Network, str]]:
    """The prefixes that other resources translate to, and those resources. Subnets of Docker networks are none."""
    if not observed.external_prefixes:
        return
    subnets = {config.subnet for network in observed.networks for config in network.ipv6}
    for owner, prefix in observed.external_prefixes:
        if owner != desired.name and prefix not in subnets:
            yield prefix, " ".join(resource_of(owner))


def foreign_routes(desired: Desired, observed: Observed) -> Iterator[Route]:
    """All routes except default routes, link-local ones, and those of the resource's bridge or shared link."""
    spec = desired.resource.spec
    own = own_bridges(desired, observed) | {shared_link(spec.driver, spec.options)}
    for route in observed.host.routes:
        if route.destination.prefixlen and route.interface not in own and not route.destination.is_link_local:
            yield route


def own_bridges(desired: Desired, observed: Observed) -> frozenset[str]:
    """The bridges of the resource's network, live and desired."""
    return frozenset({desired.resource.bridge_name, *(n.bridge for n in observed.owned(desired) if n.bridge)})
