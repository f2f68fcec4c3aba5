"""The inputs of a plan: the desired state, what was observed of engine and host, and the ledger. Values only."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.pool import IPv6Pool
from dockerv6.dockerd.model import Attachment, Container, EngineInfo, Network
from dockerv6.firewall.model import DEFAULT_MARK, Claim, FlowProblem, HostFilterState, PortIntent
from dockerv6.firewall.ruleset import RulesetChange
from dockerv6.hostnet.model import Interface, ProxyNeighbour, Route, RoutingRule
from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.firewall.bridge_names import left_behind
from dockerv6.planning.firewall.contributions import ProxiedSubnet
from dockerv6.planning.firewall.desired import FirewallSnapshot
from dockerv6.planning.firewall.listening import Service
from dockerv6.planning.firewall.port_claims import PortKey
from dockerv6.planning.plan import Finding

MANAGED_BY = "dockerv6.io/managed-by"
NAME_LABEL = "dockerv6.io/name"
POOL_LABEL = "dockerv6.io/pool"
SPEC_HASH = "dockerv6.io/spec-hash"
INSTALLATION_LABEL = "dockerv6.io/installation"
OWN_LABELS = (MANAGED_BY, NAME_LABEL, POOL_LABEL, SPEC_HASH, INSTALLATION_LABEL)
"""The labels that dockerv6 sets on the networks that it creates."""

POLICY_LABEL = "dockerv6.io/policy"
"""Set by people on a Docker network: which of the policies that match it applies."""

NETWORK_LABEL = "dockerv6.io/network"
"""Set by people on a container: the IPv6Network whose member it is."""


@dataclass(frozen=True, slots=True)
class Identity:
    """How this operator recognises its own host state after a restart."""

    instance: str = "dockerv6"  # value of the label MANAGED_BY
    installation: str = ""  # value of INSTALLATION_LABEL; "": networks get none
    mark: int = DEFAULT_MARK  # the bit of the packet mark
    http_port: int | None = None  # the TCP port of its HTTP server; None: it listens on a Unix socket

    def labelled(self, network: Network) -> bool:
        """Whether its labels say that this installation created it.

        That is a claim: everyone who creates a network can write these labels. See `NetworkIndex.owned`.
        Networks of former versions have no installation; those of this instance are this installation's. A network that
        could not be decoded is nobody's.
        """
        return (
            network.labels.get(MANAGED_BY) == self.instance and not network.problem and not self.is_of_another(network)
        )

    def is_of_another(self, network: Network) -> bool:
        """Whether another installation of dockerv6 created the network."""
        return network.labels.get(INSTALLATION_LABEL, self.installation) != self.installation


@dataclass(frozen=True, slots=True)
class Desired:
    """One accepted network resource, with the pools that it may allocate from."""

    resource: NetworkResource
    pools: Mapping[str, IPv6Pool]
    identity: Identity = field(default_factory=Identity)
    suspended: bool = False  # by the command line: also its deletion waits

    @property
    def name(self) -> str:
        """The resource's name, which is also the owner of its allocation and rules."""
        return self.resource.metadata.name


@dataclass(frozen=True, slots=True)
class HostView:
    """The host's network stack, as far as plans need it.

    Attributes:
        forwarding: net.ipv6.conf.all.forwarding; None: the kernel has no IPv6.
        accept_ra: the present values on uplinks that need 2 before forwarding is enabled, by interface.
        interfaces: all interfaces, by name; empty: the host has not been observed.
        routes: all unicast IPv6 routes.
        rejecting: the routes that drop packets, or end the lookup in their table.
        rules: the routing policy rules, by priority.
        proxies: the kernel's NDP proxy entries.
        proxy_ndp: the present values on external interfaces, by interface.
        bridge_netfilter: net.bridge.bridge-nf-call-ip6tables; None: br_netfilter is not loaded.
        container_bridges: of `planning.host.interfaces.advertised_bridges`, those that Docker networks are on.
        ipv6_off: "all" and external interfaces without an address whose disable_ipv6 is 1.
    """

    forwarding: str | None = "1"
    accept_ra: Mapping[str, str] = field(default_factory=dict)
    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    rejecting: tuple[Route, ...] = ()
    rules: tuple[RoutingRule, ...] = ()
    proxies: frozenset[ProxyNeighbour] = frozenset()
    proxy_ndp: Mapping[str, str] = field(default_factory=dict)
    bridge_netfilter: bool | None = None
    container_bridges: frozenset[str] = frozenset()
    ipv6_off: frozenset[str] = frozenset()


UnroutedSubnet = tuple[str, str]
"""A subnet, and the bridge on which the host has no route for it."""


@dataclass(frozen=True, slots=True)
class RulesView:
    """Our table and the host's filter, compared with the desired firewall.

    Attributes:
        change: what brings the table to the desired ruleset.
        snapshot: what `change` was computed from, for a plan after which a resource contributes something else.
        intended: the desired rules have changed, so that what differs is not drift.
        problem: why the backend does not work, with the remedy; "": it does.
        filter: the host's own filter.
        filter_problem: why the host's own filter can't be read, so that `filter` is that of before; "": it can.
        filter_read: whether it could be read before.
        flow_problems: what keeps an owner's flows from passing, or may do so, by owner; as of the latest packet walk.
        followed_containers: the addresses of the containers that ran at that time.
        unfollowed: the owners of networks whose flows no packet walk has followed yet.
        unrouted: the subnets without a route, as of the latest packet walk.
        backend: the name of the backend.
        overlapping: why an owner's elements are not in the table, by owner: others overlap them.
        shared_networks: why an owner has no rules for a Docker network that another resource has, by owner.
        refused: why an owner's rules can't be in the kernel, and therefore stay as they are, by owner.
        untranslated: why an owner is not translated to its prefix, by owner.
        ports: the published ports, by owner.
        port_names: the containers that published ports are forwarded to.
        port_problems: the ports that are not published, by owner.
        rival: another program that manages the same networks, with the remedy; "": there is none.
    """

    change: RulesetChange = field(default_factory=RulesetChange)
    snapshot: FirewallSnapshot = field(default_factory=FirewallSnapshot)
    intended: bool = False
    problem: str = ""
    filter: HostFilterState = field(default_factory=HostFilterState)
    filter_problem: str = ""
    filter_read: bool = True
    flow_problems: Mapping[str, tuple[FlowProblem, ...]] = field(default_factory=dict)
    followed_containers: frozenset[IPv6Address] = frozenset()
    unfollowed: frozenset[str] = frozenset()
    unrouted: frozenset[UnroutedSubnet] = frozenset()
    backend: str = ""
    overlapping: Mapping[str, str] = field(default_factory=dict)
    shared_networks: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    untranslated: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, tuple[PortIntent, ...]] = field(default_factory=dict)
    port_names: Mapping[PortKey, str] = field(default_factory=dict)
    port_problems: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    rival: str = ""

    def excludes(self, owner: str) -> bool:
        """Whether an owner has no rules for a Docker network or subnet, because another resource has them."""
        return owner in self.overlapping or owner in self.shared_networks

    def tried(self, network: Network, containers: Iterable[Container]) -> bool:
        """Whether the latest packet walk followed flows of a running container of the network."""
        return any(
            end.network_id == network.id and end.ipv6 in self.followed_containers
            for container in containers
            for end in container.endpoints
        )

    def pending_changes(self, owner: str) -> tuple[str, ...]:
        """What has to change for the owner's rules, in words; what all owners share comes first."""
        return self.change.lines_for(owner)

    def pending_own_changes(self, owner: str) -> tuple[str, ...]:
        """What has to change of the owner's own rules, in words."""
        return self.change.by_owner.get(owner, ())


class NetworkIndex:
    """Live Docker networks, indexed by name and by the resource that they were created for."""

    __slots__ = ("_all", "_bridged", "_made_for", "_named")

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        """Index the networks, ordered by id: engines list them in a different order each time."""
        self._all = tuple(sorted(networks, key=lambda n: n.id))
        self._named: dict[str, list[Network]] = {}
        self._made_for: dict[str, list[Network]] = {}
        self._bridged: dict[str, list[Network]] = {}
        for network in self._all:
            self._named.setdefault(network.name, []).append(network)
            if network.bridge is not None:
                self._bridged.setdefault(network.bridge, []).append(network)
            if NAME_LABEL in network.labels:
                self._made_for.setdefault(network.labels[NAME_LABEL], []).append(network)

    def __iter__(self) -> Iterator[Network]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def named(self, name: str) -> tuple[Network, ...]:
        """The networks of that name; engine 20.10 allows more than one."""
        return tuple(self._named.get(name, ()))

    def with_bridge(self, bridge: str) -> tuple[Network, ...]:
        """The networks that name this interface as their bridge."""
        return tuple(self._bridged.get(bridge, ()))

    @property
    def bridges(self) -> frozenset[str]:
        """The names of all bridges."""
        return frozenset(self._bridged)

    def made_for(self, name: str) -> tuple[Network, ...]:
        """The networks whose labels name that resource. Anybody can write such labels."""
        return tuple(self._made_for.get(name, ()))

    def owned(self, identity: Identity, resource: NetworkResource, created: Collection[str]) -> tuple[Network, ...]:
        """The networks that this installation created for that resource.

        Labels alone are no proof: a network also has the name that the resource asks for, or its id is recorded.

        Args:
            identity: this installation.
            resource: the resource.
            created: the recorded ids of the networks that this installation created.
        """
        return tuple(
            n
            for n in self.made_for(resource.metadata.name)
            if identity.labelled(n) and (n.name == resource.docker_name or n.id in created)
        )


@dataclass(frozen=True, slots=True)
class Observed:
    """The engine and the host, as observed for one resource.

    ``engine`` is None while the engine does not answer; ``networks`` are then those of the last answer.
    ``attachments`` are those of the resource's own live network, including stopped containers.
    ``remembered`` are the containers that have to be attached again: their network was removed, or they were detached
    for a recreation.
    """

    now: float
    engine: EngineInfo | None
    engine_problem: str = ""
    engine_answers: bool = False  # with errors: `engine_problem` is one
    networks: NetworkIndex = field(default_factory=NetworkIndex)
    attachments: tuple[Attachment, ...] = ()
    remembered: tuple[Attachment, ...] = ()
    applied: bool = False  # the resource's network has existed: its absence is drift
    ready: bool = False  # Ready was True after the last reconcile; a suspended resource stays that way
    host: HostView = field(default_factory=HostView)
    rules: RulesView = field(default_factory=RulesView)
    containers: tuple[Container, ...] = ()  # all running ones
    created: frozenset[str] = frozenset()  # recorded ids of the networks that this installation created
    members: frozenset[str] = frozenset()  # ids of containers that `AttachMember` attached to the network
    proxied_subnets: tuple[ProxiedSubnet, ...] = ()  # of all resources
    external_prefixes: tuple[Claim, ...] = ()  # of all resources
    in_flight: tuple[str, ...] = ()  # other networks of the same pool that are being renumbered
    refused: str = ""  # fingerprint of a specification that was rolled back
    refusal: str = ""  # why it was rolled back
    ipv4_only: frozenset[Service] = frozenset()  # services of published ports that listen over IPv4 only
    chains_missing: str = ""  # the engine's chains are gone, with the remedy; "": they are there
    chains_problem: str = ""  # the same, once it has lasted: a reload of firewalld is over sooner
    entropy: bytes = bytes(5)  # 40 bits, for a pool that is generated by this plan

    def owned(self, desired: Desired) -> tuple[Network, ...]:
        """The networks that this installation created for the resource."""
        return self.networks.owned(desired.identity, desired.resource, self.created)

    def bridge_free(self, desired: Desired, subnets: Iterable[IPv6Network]) -> bool:
        """Whether rules may name the bridge of the resource's next network, see `bridge_is_free`."""
        return bridge_is_free(desired.resource, self.owned(desired), self.networks, self.host.interfaces, subnets)


def bridge_is_free(
    resource: NetworkResource,
    own: Collection[Network],
    networks: NetworkIndex,
    interfaces: Mapping[str, Interface],
    subnets: Iterable[IPv6Network],
) -> bool:
    """Whether no other Docker network and no interface of others has the name of the resource's bridge.

    Args:
        resource: the resource.
        own: the live networks that this installation created for it.
        networks: all live networks.
        interfaces: those of the host, by name.
        subnets: those of the resource.
    """
    name = resource.bridge_name
    users = networks.with_bridge(name)
    if users:
        return all(each in own for each in users)
    return name not in interfaces or left_behind(name, interfaces, subnets)


@dataclass(frozen=True, slots=True)
class Holdings:
    """The contents of the ledger."""

    allocations: tuple[Allocation, ...] = ()
    pool_prefixes: Mapping[str, IPv6Network] = field(default_factory=dict)
    tracked: Mapping[str, TrackedPrefix] = field(default_factory=dict)  # by interface
    bound: Mapping[str, Allocation] = field(init=False)  # the allocations in use, by owner

    def __post_init__(self) -> None:
        in_use = {a.owner: a for a in self.allocations if a.state is AllocationState.BOUND}
        object.__setattr__(self, "bound", in_use)

    def subnets_of(self, owner: str) -> tuple[IPv6Network, ...]:
        """The subnets that a resource holds, or held until lately."""
        return tuple(a.prefix for a in self.allocations if a.owner == owner)
