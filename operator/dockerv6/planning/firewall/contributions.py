"""What each resource contributes to the firewall: intents for networks, publishing networks, proxied subnets.

A contribution follows the live network, not the file: the rules stay while a recreation is blocked or in progress. An
allocated subnet has its rules before the network exists.
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
from dockerv6.lib.networking import EgressMode, InterfaceName
from dockerv6.lib.prefixes import first_address
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.addressing.translation import translate_subnet
from dockerv6.planning.firewall.port_assignment import PortAssignment
from dockerv6.planning.firewall.port_claims import PublishingNetwork, matches_container

POLICY_OWNER = "policy/"
"""Prefix of owners that are an IPv6Policy: an IPv6Network may have the same name."""

IPV6NAT_HOST_BINDING = "com.docker.network.bridge.host_binding_ipv6"
"""A network option of docker-ipv6nat: the host address of published ports. Engines ignore it."""

ENABLE_ICC = "com.docker.network.bridge.enable_icc"
ENABLE_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
NO_PREFIXES: Mapping[str, TrackedPrefix] = {}
_FALSE = frozenset({"0", "f", "false"})  # as Go's strconv.ParseBool accepts them, in lower case


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
    """What one resource contributes."""

    owner: str
    networks: tuple[NetworkIntent, ...] = ()
    publishing_networks: tuple[PublishingNetwork, ...] = ()
    proxied_subnets: tuple[ProxiedSubnet, ...] | None = ()  # None: unknown, so that no entry may be removed
    keep: bool = False  # the owner's rules stay as they are

    @property
    def kept(self) -> "FirewallContribution":
        """The same without a change of the owner's rules."""
        return replace(self, networks=(), publishing_networks=(), keep=True)


@dataclass(frozen=True, slots=True)
class _TrafficSpec:
    """The blocks that an IPv6Network and an IPv6Policy have in common, and what they refer to."""

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
    tracked: Mapping[str, TrackedPrefix] = NO_PREFIXES,
    links: tuple[IPv6Network, ...] = (),
    *,
    bridge_free: bool = True,
) -> FirewallContribution:
    """The contribution of an IPv6Network. Empty for other drivers than bridge: their packets do not pass our rules.

    Args:
        resource: the resource.
        subnet: the subnet that is allocated to it, or will be by the plan; None: it has none yet.
        networks: the live Docker networks that belong to it, or, with Observe, have its name; None: they are unknown.
        containers: all running containers.
        tracked: the tracked prefixes of interfaces.
        links: on-link prefixes.
        bridge_free: no other network or interface has the bridge name of a network that is to be created.
    """
    owner, spec = resource.metadata.name, resource.spec
    traffic = _TrafficSpec(owner, spec.egress, spec.publish, spec.firewall, spec.ndp_proxy, tracked, links)
    if spec.suspend or resource.unsupported_fields():
        proxied = _live_contribution(traffic, networks, ()).proxied_subnets if networks is not None else None
        return FirewallContribution(owner, proxied_subnets=proxied, keep=True)
    if spec.management_policy is ManagementPolicy.OBSERVE:
        if networks is None:
            return FirewallContribution(owner, proxied_subnets=None, keep=True)
        return _live_contribution(traffic, [n for n in networks if n.bridge][:1], containers)
    if spec.driver is not Driver.BRIDGE:
        return _live_contribution(traffic, networks or (), containers)  # a bridge from before a change of the driver
    return _managed_contribution(traffic, resource, subnet, networks or (), containers, bridge_free=bridge_free)


def _managed_contribution(
    traffic: _TrafficSpec,
    resource: NetworkResource,
    subnet: IPv6Network | None,
    networks: Iterable[Network],
    containers: tuple[Container, ...],
    *,
    bridge_free: bool,
) -> FirewallContribution:
    """The contribution of a network of our own: the live network, and the one that is to be created."""
    owner, spec = traffic.owner, resource.spec
    if subnet is None:  # unknown yet; rules from before a loss of the ledger stay
        return FirewallContribution(owner, proxied_subnets=None, keep=True)
    running = _live_contribution(traffic, networks, containers, icc=spec.bridge.icc)
    if not bridge_free or any(i.subnet.overlaps(subnet) for i in running.networks):
        return running
    desired = _intent(traffic, subnet, resource.bridge_name, (), internal=spec.internal, icc=spec.bridge.icc)
    return FirewallContribution(
        owner,
        (*running.networks, desired),
        running.publishing_networks,
        _proxied_subnets(traffic, (*running.networks, desired)),
    )


def policy_contribution(
    policy: IPv6Policy,
    networks: Iterable[Network] | None,
    containers: tuple[Container, ...] = (),
    tracked: Mapping[str, TrackedPrefix] = NO_PREFIXES,
    links: tuple[IPv6Network, ...] = (),
) -> FirewallContribution:
    """The contribution of an IPv6Policy. ``networks`` are those that it applies to; None: not observed yet."""
    owner = f"{POLICY_OWNER}{policy.metadata.name}"
    spec = policy.spec
    if networks is None:
        return FirewallContribution(owner, proxied_subnets=None, keep=True)
    traffic = _TrafficSpec(owner, spec.egress, spec.publish, spec.firewall, spec.ndp_proxy, tracked, links)
    return _live_contribution(traffic, networks, containers, policy=True)


def proxied_subnets_of(contributions: Iterable[FirewallContribution]) -> tuple[ProxiedSubnet, ...] | None:
    """All NDP proxy entries that resources ask for. None while those of one resource are unknown."""
    found: list[ProxiedSubnet] = []
    for each in contributions:
        if each.proxied_subnets is None:
            return None
        found += each.proxied_subnets
    return tuple(found)


def resource_of(owner: str) -> tuple[str, str]:
    """Kind and name of the resource that owns elements under this name."""
    if owner.startswith(POLICY_OWNER):
        return POLICY, owner.removeprefix(POLICY_OWNER)
    return NETWORK, owner


def depends_on_containers(egress: Egress, firewall: Firewall) -> bool:
    """Whether a contribution depends on which containers run."""
    translated = egress.mode is EgressMode.PREFIX_TRANSLATION  # external addresses, if the prefix is on-link
    return translated or any(rule.containers is not None for rule in firewall.ingress)


def _live_contribution(
    traffic: _TrafficSpec,
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
                    traffic,
                    subnet,
                    network.bridge,
                    containers,
                    internal=network.internal,
                    icc=icc and not icc_disabled(network),
                    masquerade=not (policy and is_disabled(network, ENABLE_MASQUERADE)),
                )
            )
        if not network.internal:
            publishing_networks.append(_publishing_network(traffic, network, subnets[0][1]))
    return FirewallContribution(
        traffic.owner, tuple(intents), tuple(publishing_networks), _proxied_subnets(traffic, intents)
    )


def _proxied_subnets(traffic: _TrafficSpec, intents: Iterable[NetworkIntent]) -> tuple[ProxiedSubnet, ...] | None:
    """The subnets with ``ndpProxy``, under the addresses that neighbours see; None: the prefix is not known yet."""
    if not traffic.ndp_proxy.enabled:
        return ()
    proxied = [i for i in intents if not i.internal]
    if traffic.egress.mode is EgressMode.PREFIX_TRANSLATION:
        if any(translate_subnet(traffic.egress, i.subnet, traffic.tracked).pending for i in proxied):
            return None
        proxied = [i for i in proxied if i.external_prefixes]  # a driver option of the others disables translation
    return tuple(
        ProxiedSubnet(traffic.owner, i.subnet, traffic.ndp_proxy.interface, i.external_prefixes) for i in proxied
    )


def ipv6_subnets(network: Network) -> Iterator[tuple[IPv6Network, IPv6Address | None]]:
    """The network's routable IPv6 subnets, each with its gateway; None: a single address has none that is known."""
    for config in network.ipv6:
        subnet, gateway = config.subnet, config.gateway
        if isinstance(subnet, IPv6Network) and not subnet.is_link_local:
            yield subnet, gateway if isinstance(gateway, IPv6Address) else _default_gateway(subnet)


def _default_gateway(subnet: IPv6Network) -> IPv6Address | None:
    """The first address, which the engine uses without a gateway in the configuration."""
    return first_address(subnet) if subnet.prefixlen < subnet.max_prefixlen else None


def icc_disabled(network: Network) -> bool:
    """Whether the network's driver option isolates its containers from one another."""
    return is_disabled(network, ENABLE_ICC)


def is_disabled(network: Network, option: str) -> bool:
    """Whether a boolean driver option of the network is set, and false."""
    return network.options.get(option, "").lower() in _FALSE


def _publishing_network(traffic: _TrafficSpec, network: Network, gateway: IPv6Address | None) -> PublishingNetwork:
    address: IPv6Address | None = traffic.publish.host_address
    if address == ANY_ADDRESS:
        address = _ipv6nat_host_address(network)
    return PublishingNetwork(traffic.owner, network.id, network.name, traffic.publish, gateway, address)


def _ipv6nat_host_address(network: Network) -> IPv6Address | None:
    """The value of `IPV6NAT_HOST_BINDING`. An invalid address is ignored, as docker-ipv6nat does."""
    try:
        address = IPv6Address(network.options.get(IPV6NAT_HOST_BINDING, ""))
    except ValueError:
        return None
    return None if address == ANY_ADDRESS else address


def _intent(
    traffic: _TrafficSpec,
    subnet: IPv6Network,
    bridge: InterfaceName,
    containers: tuple[Container, ...],
    *,
    internal: bool,
    icc: bool,
    masquerade: bool = True,
) -> NetworkIntent:
    egress = traffic.egress
    external = translate_subnet(egress, subnet, traffic.tracked).external_prefixes
    pending = egress.mode is EgressMode.PREFIX_TRANSLATION and not external  # no prefix is known yet
    disabled = egress.mode in TRANSLATING_MODES and not masquerade
    return NetworkIntent(
        owner=traffic.owner,
        subnet=subnet,
        bridge=bridge,
        egress=EgressMode.NONE if disabled or pending else egress.mode,
        snat_address=egress.snat_address,
        external_prefixes=() if disabled else external,
        external_addresses=_external_addresses(traffic, subnet, external, containers),
        egress_interfaces=tuple(egress.interfaces),
        egress_exclude=tuple(egress.exclude),
        internal=internal,
        isolated=traffic.firewall.isolation,
        icc=icc,
        ingress=tuple(_ingress(traffic.firewall.ingress, subnet, containers)),
        source_validation=traffic.firewall.source_validation,
    )


def _external_addresses(
    traffic: _TrafficSpec, subnet: IPv6Network, external: tuple[IPv6Network, ...], containers: tuple[Container, ...]
) -> tuple[IPv6Address, ...] | None:
    """The containers' external addresses, if other hosts on a link have addresses in the same prefix; else None."""
    shared = traffic.ndp_proxy.enabled or any(prefix.overlaps(link) for prefix in external for link in traffic.links)
    if not external or not shared:
        return None
    own = (end.ipv6 for container in containers for end in container.endpoints if end.ipv6 is not None)
    return tuple(sorted(prefix[int(a) & int(prefix.hostmask)] for a in own if a in subnet for prefix in external))


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
    contributions: Iterable[FirewallContribution],
    mark: int = DEFAULT_MARK,
    uplinks: tuple[str, ...] = (),
    port_assignment: PortAssignment | None = None,
    guests: tuple[str, ...] | None = None,
    own: Iterable[IPv6Address] = (),
    not_bridges: frozenset[str] = frozenset(),
    shared_bridges: frozenset[str] = frozenset(),
) -> FirewallIntent:
    """The intent for the whole host, in the order of the owners.

    Args:
        contributions: those of all resources.
        mark: the bit of the packet mark of flows that we accept.
        uplinks: the bridges with a default route.
        port_assignment: the targets of the host's ports.
        guests: all other bridges, for a backend that needs their names; else None.
        own: the host's addresses on external interfaces.
        not_bridges: interfaces of the host that are no bridges. No rule for a network's bridge names one of them.
        shared_bridges: bridges with ports that are no container's. Sources of packets from them are not validated.
    """
    ordered = sorted(contributions, key=lambda s: s.owner)
    external = {p for s in ordered for n in s.networks for p in n.external_prefixes if n.external_addresses is None}
    open_ports = _ports_on_all_addresses(port_assignment.ports if port_assignment is not None else ())
    return FirewallIntent(
        networks=tuple(
            _with_ports(_on_shared(n) if n.bridge in shared_bridges else n, open_ports.get(n.owner, ()))
            for s in ordered
            for n in s.networks
            if n.bridge not in not_bridges
        ),
        keep=frozenset(s.owner for s in ordered if s.keep),
        mark=mark,
        uplink_bridges=uplinks,
        ports=port_assignment.ports if port_assignment is not None else (),
        guest_bridges=guests,
        host_addresses=tuple(sorted(a for a in own if any(a in prefix for prefix in external))),
    )


def _on_shared(network: NetworkIntent) -> NetworkIntent:
    return replace(network, source_validation=False) if network.source_validation else network


def _ports_on_all_addresses(ports: Iterable[PortIntent]) -> Mapping[str, list[PortIntent]]:
    """The ports that are published on all addresses, by owner."""
    found: dict[str, list[PortIntent]] = {}
    for port in ports:
        if port.host_address is None:
            found.setdefault(port.owner, []).append(port)
    return found


def _with_ports(network: NetworkIntent, ports: Iterable[PortIntent]) -> NetworkIntent:
    """With ``Routed``, a published port is also open on the container's own address.

    Engines from 27 on do the same with gateway mode routed (moby, libnetwork/drivers/bridge/port_mapping_linux.go).
    """
    if network.egress is not EgressMode.ROUTED or network.internal:
        return network
    open_ports = tuple(
        Ingress(p.sources, (IPv6Network(p.target),), ((p.protocol, p.target_port),))
        for p in ports
        if p.target in network.subnet
    )
    return replace(network, ingress=(*network.ingress, *open_ports)) if open_ports else network
