"""Every resource's share of the firewall, from what the ledger and the live networks say. Pure.

The share follows the network that runs, not the file: while a recreation is blocked or under way it keeps its rules.
The allocation has its rules before there is a network.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network

from dockerv6.api.kinds import NETWORK, POLICY
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.network import ManagementPolicy
from dockerv6.api.options import Driver
from dockerv6.api.policy import IPv6Policy
from dockerv6.api.traffic import ANY_ADDRESS, TRANSLATING_MODES, Egress, Firewall, IngressRule, NdpProxy, Publish
from dockerv6.dockerd.model import Container, Network
from dockerv6.firewall.model import DEFAULT_MARK, FirewallIntent, Ingress, NetworkIntent, PortIntent
from dockerv6.lib.networking import EgressMode
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.addressing.translation import translate_subnet
from dockerv6.planning.firewall.port_assignment import PortAssignment
from dockerv6.planning.firewall.port_claims import PublishingNetwork, matches_container

POLICY_OWNER = "policy/"
"""Before the name of an IPv6Policy where it owns elements: an IPv6Network may have the same name."""

HOST_BINDING = "com.docker.network.bridge.host_binding_ipv6"
"""An option of docker-ipv6nat: where the network's ports bind. The engine knows nothing of it."""

ENABLE_ICC = "com.docker.network.bridge.enable_icc"
ENABLE_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
NOBODY: Mapping[str, TrackedPrefix] = {}
_FALSE = frozenset({"0", "f", "false"})  # as Go's strconv.ParseBool reads them, in lower case


@dataclass(frozen=True, slots=True)
class ProxiedSubnet:
    """A subnet of a resource that asks for ``ndpProxy``: its running containers get NDP proxy entries."""

    owner: str
    subnet: IPv6Network
    interface: str | None = None  # ndpProxy.interface; None: the one that holds the covering prefix
    external_prefixes: tuple[IPv6Network, ...] = ()  # what it is translated to, or was; empty: it is not translated

    @property
    def prefixes(self) -> tuple[IPv6Network, ...]:
        """The prefixes in which neighbours see the containers; the current one first."""
        return self.external_prefixes or (self.subnet,)


@dataclass(frozen=True, slots=True)
class FirewallContribution:
    """What one resource wants of the firewall: its elements, or that they are left as they are."""

    owner: str
    networks: tuple[NetworkIntent, ...] = ()
    publishing_networks: tuple[PublishingNetwork, ...] = ()
    proxied_subnets: (
        tuple[ProxiedSubnet, ...] | None
    ) = ()  # whom neighbour solicitations are answered for; None: it can't be told
    hold: bool = False


@dataclass(frozen=True, slots=True)
class _Wish:
    """The blocks that an IPv6Network and an IPv6Policy have in common."""

    owner: str
    egress: Egress
    publish: Publish
    firewall: Firewall
    ndp_proxy: NdpProxy
    tracked: Mapping[str, TrackedPrefix]
    links: tuple[IPv6Network, ...]


def network_contribution(
    resource: NetworkResource,
    subnet: IPv6Network | None,
    networks: Iterable[Network] | None,
    containers: tuple[Container, ...] = (),
    tracked: Mapping[str, TrackedPrefix] = NOBODY,
    links: tuple[IPv6Network, ...] = (),
) -> FirewallContribution:
    """What the resource contributes.

    Networks of other drivers than bridge contribute nothing: their packets pass neither a bridge nor the firewall of
    the host.

    Args:
        resource: the resource.
        subnet: the subnet that it holds; None: it holds none yet.
        networks: the live Docker networks that belong to it, or, with Observe, have its name; None: they are unknown.
        containers: all running containers.
        tracked: the tracked prefixes of interfaces.
        links: on-link prefixes.
    """
    owner, spec = resource.metadata.name, resource.spec
    wish = _Wish(owner, spec.egress, spec.publish, spec.firewall, spec.ndp_proxy, tracked, links)
    if spec.suspend or resource.unsupported_fields():
        held = _live(wish, networks, ()).proxied_subnets if networks is not None else None
        return FirewallContribution(owner, proxied_subnets=held, hold=True)
    if spec.management_policy is ManagementPolicy.OBSERVE:
        if networks is None:
            return FirewallContribution(owner, proxied_subnets=None, hold=True)
        return _live(wish, [n for n in networks if n.bridge][:1], containers)
    if spec.driver is not Driver.BRIDGE:
        return _live(wish, networks or (), containers)  # a bridge that still runs
    return _managed(wish, resource, subnet, networks or (), containers)


def _managed(
    wish: _Wish,
    resource: NetworkResource,
    subnet: IPv6Network | None,
    networks: Iterable[Network],
    containers: tuple[Container, ...],
) -> FirewallContribution:
    """A network of our own: what runs, and what is to be."""
    owner, spec = wish.owner, resource.spec
    if subnet is None:  # what it wants can't be told yet: rules of a time before the ledger was lost stay
        return FirewallContribution(owner, proxied_subnets=None, hold=True)
    running = _live(wish, networks, containers, icc=spec.bridge.icc)
    if any(i.subnet.overlaps(subnet) for i in running.networks):
        return running
    coming = _intent(wish, subnet, resource.bridge_name, (), internal=spec.internal, icc=spec.bridge.icc)
    return FirewallContribution(
        owner,
        (*running.networks, coming),
        running.publishing_networks,
        _proxied_subnets(wish, (*running.networks, coming)),
    )


def policy_contribution(
    policy: IPv6Policy,
    networks: Iterable[Network] | None,
    containers: tuple[Container, ...] = (),
    tracked: Mapping[str, TrackedPrefix] = NOBODY,
    links: tuple[IPv6Network, ...] = (),
) -> FirewallContribution:
    """The share of a policy; ``networks`` are those that it is for, None: they have never been seen."""
    owner = f"{POLICY_OWNER}{policy.metadata.name}"
    spec = policy.spec
    if networks is None:
        return FirewallContribution(owner, proxied_subnets=None, hold=True)
    wish = _Wish(owner, spec.egress, spec.publish, spec.firewall, spec.ndp_proxy, tracked, links)
    return _live(wish, networks, containers, policy=True)


def proxied_subnets_of(shares: Iterable[FirewallContribution]) -> tuple[ProxiedSubnet, ...] | None:
    """Whom neighbour solicitations are answered for, of all; None while it can't be told of somebody."""
    every = [network_contribution.proxied_subnets for network_contribution in shares]
    return (
        None
        if None in every
        else tuple(a for proxied_subnets in every if proxied_subnets is not None for a in proxied_subnets)
    )


def resource_of(owner: str) -> tuple[str, str]:
    """Kind and name of the resource that owns elements under this name."""
    if owner.startswith(POLICY_OWNER):
        return POLICY, owner.removeprefix(POLICY_OWNER)
    return NETWORK, owner


def depends_on_containers(egress: Egress, firewall: Firewall) -> bool:
    """Whether a share is another one when other containers run."""
    named = egress.mode is EgressMode.PREFIX_TRANSLATION  # where the prefix is a link's
    return named or any(rule.containers is not None for rule in firewall.ingress)


def _live(
    wish: _Wish,
    networks: Iterable[Network],
    containers: tuple[Container, ...],
    *,
    icc: bool = True,
    policy: bool = False,
) -> FirewallContribution:
    intents: list[NetworkIntent] = []
    publishing_networks: list[PublishingNetwork] = []
    for network in networks:
        subnets = tuple(ipv6_subnets(network))
        if not network.bridge or not subnets:
            continue
        for subnet, _ in subnets:
            intents.append(
                _intent(
                    wish,
                    subnet,
                    network.bridge,
                    containers,
                    internal=network.internal,
                    icc=icc and not icc_switched_off(network),
                    masquerade=not (policy and _switched_off(network, ENABLE_MASQUERADE)),
                )
            )
        if not network.internal:
            publishing_networks.append(_surface(wish, network, subnets[0][1]))
    return FirewallContribution(wish.owner, tuple(intents), tuple(publishing_networks), _proxied_subnets(wish, intents))


def _proxied_subnets(wish: _Wish, intents: Iterable[NetworkIntent]) -> tuple[ProxiedSubnet, ...] | None:
    """``ndpProxy``: on a link, neighbours ask for the addresses that they see."""
    if not wish.ndp_proxy.enabled:
        return ()
    asked = [i for i in intents if not i.internal]
    if wish.egress.mode is EgressMode.PREFIX_TRANSLATION:
        if any(translate_subnet(wish.egress, i.subnet, wish.tracked).pending for i in asked):
            return None
        asked = [i for i in asked if i.external_prefixes]  # the others' own options switch translation off
    return tuple(ProxiedSubnet(wish.owner, i.subnet, wish.ndp_proxy.interface, i.external_prefixes) for i in asked)


def ipv6_subnets(network: Network) -> Iterator[tuple[IPv6Network, IPv6Address]]:
    """The network's IPv6 subnets that packets are forwarded for, each with its gateway."""
    for config in network.ipv6:
        subnet, gateway = config.subnet, config.gateway
        if isinstance(subnet, IPv6Network) and not subnet.is_link_local:
            # where nobody said one, the engine took the first address
            yield subnet, gateway if isinstance(gateway, IPv6Address) else subnet[1]


def icc_switched_off(network: Network) -> bool:
    """Whether the network's own option keeps its containers apart."""
    return _switched_off(network, ENABLE_ICC)


def _switched_off(network: Network, option: str) -> bool:
    return network.options.get(option, "").lower() in _FALSE


def _surface(wish: _Wish, network: Network, gateway: IPv6Address) -> PublishingNetwork:
    address: IPv6Address | None = wish.publish.host_address
    if address == ANY_ADDRESS:
        address = _host_binding(network)
    return PublishingNetwork(wish.owner, network.id, network.name, wish.publish, gateway, address)


def _host_binding(network: Network) -> IPv6Address | None:
    """The option of docker-ipv6nat; one that is no address says nothing, as it did there."""
    try:
        address = IPv6Address(network.options.get(HOST_BINDING, ""))
    except ValueError:
        return None
    return None if address == ANY_ADDRESS else address


def _intent(
    wish: _Wish,
    subnet: IPv6Network,
    bridge: str,
    containers: tuple[Container, ...],
    *,
    internal: bool,
    icc: bool,
    masquerade: bool = True,
) -> NetworkIntent:
    egress = wish.egress
    outer = translate_subnet(egress, subnet, wish.tracked).external_prefixes
    lost = egress.mode is EgressMode.PREFIX_TRANSLATION and not outer  # there is nothing to translate to yet
    off = egress.mode in TRANSLATING_MODES and not masquerade
    return NetworkIntent(
        owner=wish.owner,
        subnet=subnet,
        bridge=bridge,
        egress=EgressMode.NONE if off or lost else egress.mode,
        snat_address=egress.snat_address,
        external_prefixes=() if off else outer,
        external_addresses=_named(wish, subnet, outer, containers),
        egress_interfaces=tuple(egress.interfaces),
        egress_exclude=tuple(egress.exclude),
        internal=internal,
        isolated=wish.firewall.isolation,
        icc=icc,
        ingress=tuple(_ingress(wish.firewall.ingress, subnet, containers)),
    )


def _named(
    wish: _Wish, subnet: IPv6Network, outer: tuple[IPv6Network, ...], containers: tuple[Container, ...]
) -> tuple[IPv6Address, ...] | None:
    """The containers' outer addresses, where others on a link have theirs in the same prefix."""
    shared = wish.ndp_proxy.enabled or any(prefix.overlaps(link) for prefix in outer for link in wish.links)
    if not outer or not shared:
        return None
    own = (end.ipv6 for container in containers for end in container.endpoints if end.ipv6 is not None)
    return tuple(sorted(prefix[int(a) & int(prefix.hostmask)] for a in own if a in subnet for prefix in outer))


def _ingress(rules: Iterable[IngressRule], subnet: IPv6Network, containers: tuple[Container, ...]) -> Iterator[Ingress]:
    for rule in rules:
        targets: tuple[IPv6Network, ...] = (subnet,)
        if rule.containers is not None:
            targets = tuple(
                IPv6Network(end.ipv6)
                for container in containers
                if matches_container(rule.containers, container)
                for end in container.endpoints
                if end.ipv6 is not None and end.ipv6 in subnet
            )
        if targets:
            ports = tuple((port.protocol, port.port) for port in rule.ports)
            yield Ingress(tuple(rule.from_prefixes), targets, ports)


def firewall_intent(
    shares: Iterable[FirewallContribution],
    mark: int = DEFAULT_MARK,
    uplinks: tuple[str, ...] = (),
    port_assignment: PortAssignment | None = None,
    guests: tuple[str, ...] | None = None,
    own: Iterable[IPv6Address] = (),
) -> FirewallIntent:
    """The host's whole wish, in the order of the owners.

    Args:
        shares: every resource's.
        mark: the bit of flows that we allow.
        uplinks: the bridges that lead outside.
        port_assignment: what the host's ports lead to.
        guests: all other bridges, for a backend that must be told; else None.
        own: the host's addresses.
    """
    ordered = sorted(shares, key=lambda s: s.owner)
    outers = {
        outer for s in ordered for n in s.networks for outer in n.external_prefixes if n.external_addresses is None
    }
    opened = _opened(port_assignment.ports if port_assignment is not None else ())
    return FirewallIntent(
        networks=tuple(_with_ports(n, opened.get(n.owner, ())) for s in ordered for n in s.networks),
        keep=frozenset(s.owner for s in ordered if s.hold),
        mark=mark,
        uplink_bridges=uplinks,
        ports=port_assignment.ports if port_assignment is not None else (),
        guest_bridges=guests,
        host_addresses=tuple(sorted(a for a in own if any(a in outer for outer in outers))),
    )


def _opened(ports: Iterable[PortIntent]) -> Mapping[str, list[PortIntent]]:
    """The ports of all the host's addresses, by owner."""
    found: dict[str, list[PortIntent]] = {}
    for port in ports:
        if port.host_address is None:
            found.setdefault(port.owner, []).append(port)
    return found


def _with_ports(network: NetworkIntent, ports: Iterable[PortIntent]) -> NetworkIntent:
    """With Routed, a published port is open on the container's own address too.

    So do engines from 27 on with gateway mode routed (moby, daemon/libnetwork/drivers/bridge/port_mapping_linux.go).
    """
    if network.egress is not EgressMode.ROUTED or network.internal:
        return network
    open_ports = tuple(
        Ingress(p.sources, (IPv6Network(p.target),), ((p.protocol, p.target_port),))
        for p in ports
        if p.target in network.subnet
    )
    return replace(network, ingress=(*network.ingress, *open_ports)) if open_ports else network
