"""What a plan is made from: the wish, one moment of the world, and the ledger. Values only."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Network

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.pool import IPv6Pool
from dockerv6.dockerd.model import Attachment, Container, EngineInfo, Network
from dockerv6.firewall.model import DEFAULT_MARK, HostFilterState, PortIntent
from dockerv6.hostnet.model import Interface, ProxyNeighbour, Route
from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.planning.addressing.tracked_prefixes import TrackedPrefix
from dockerv6.planning.firewall.port_claims import PortKey
from dockerv6.planning.plan import Finding

MANAGED_BY = "dockerv6.io/managed-by"
NAME = "dockerv6.io/name"
POOL = "dockerv6.io/pool"
SPEC_HASH = "dockerv6.io/spec-hash"


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes host state recognisably this operator's after a restart."""

    instance: str = "dockerv6"  # value of the label MANAGED_BY
    mark: int = DEFAULT_MARK  # the fwmark bit

    def owns(self, network: Network, name: str | None = None) -> bool:
        """Whether the network was made by this instance, and for the resource ``name`` if one is given."""
        if network.labels.get(MANAGED_BY) != self.instance:
            return False
        return name is None or network.labels.get(NAME) == name


@dataclass(frozen=True, slots=True)
class Desired:
    """One network resource as accepted, with the pools that it may draw from."""

    resource: NetworkResource
    pools: Mapping[str, IPv6Pool]
    identity: Identity = field(default_factory=Identity)
    deleting: bool = False

    @property
    def name(self) -> str:
        """The resource's name, which is also the owner of its allocation and rules."""
        return self.resource.metadata.name


@dataclass(frozen=True, slots=True)
class HostView:
    """The host's stack as far as plans need it."""

    forwarding: str | None = "1"  # net.ipv6.conf.all.forwarding; None: the kernel has no IPv6
    accept_ra: Mapping[str, str] = field(default_factory=dict)  # RA uplinks that must go to 2 first: name -> value now
    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    proxies: frozenset[ProxyNeighbour] = frozenset()  # whom the kernel answers neighbour solicitations for
    proxy_ndp: Mapping[str, str] = field(default_factory=dict)  # the sysctl's value by interface that is no guest's
    bridge_netfilter: bool | None = None  # net.bridge.bridge-nf-call-ip6tables; None: br_netfilter is not loaded


@dataclass(frozen=True, slots=True)
class RulesView:
    """Our table and the host's filter, compared with the whole host's intent."""

    pending_changes: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # owner -> changes that it needs; "": shared parts
    intended: bool = False  # the rules are to be others than they were: what differs is no drift
    problem: str = ""  # the backend can't work: why, and the remedy
    filter: HostFilterState = field(default_factory=HostFilterState)
    backend: str = ""
    excluded: Mapping[str, str] = field(default_factory=dict)  # owner -> why its elements can't be in the table
    untranslated: Mapping[str, str] = field(default_factory=dict)  # owner -> why it is not translated to its prefix
    ports: Mapping[str, tuple[PortIntent, ...]] = field(default_factory=dict)  # owner -> what is published for it
    port_names: Mapping[PortKey, str] = field(default_factory=dict)  # the containers that ports lead to
    port_problems: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)  # owner -> what is not
    rival: str = ""  # another program that looks after the same networks, and what to do about it


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


class NetworkIndex:
    """Live Docker networks, found by name or by the resource that they were made for without a look at all of them."""

    __slots__ = ("_all", "_made_for", "_named")

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        """Index them. Engines list them in any order, and another one each time: here they are ordered by id."""
        self._all = tuple(sorted(networks, key=lambda n: n.id))
        self._named: dict[str, list[Network]] = {}
        self._made_for: dict[str, list[Network]] = {}
        for network in self._all:
            self._named.setdefault(network.name, []).append(network)
            if NAME in network.labels:
                self._made_for.setdefault(network.labels[NAME], []).append(network)

    def __iter__(self) -> Iterator[Network]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def named(self, name: str) -> tuple[Network, ...]:
        """Those with that name; more than one only on engines that allow it (20.10)."""
        return tuple(self._named.get(name, ()))

    def owned(self, identity: Identity, name: str) -> tuple[Network, ...]:
        """Those that this instance made for that resource."""
        return tuple(n for n in self._made_for.get(name, ()) if identity.owns(n, name))


@dataclass(frozen=True, slots=True)
class Observed:
    """One moment of the world, as seen for one resource.

    ``engine`` is None while the engine gives no answer; ``networks`` are then the last that were seen.
    ``attachments`` are those of the resource's own live network, stopped containers included.
    ``remembered`` are the containers that are to be attached to it: those that a network had which is gone, and those
    that were detached for a recreation and have not been attached again.
    """

    now: float
    engine: EngineInfo | None
    engine_problem: str = ""
    networks: NetworkIndex = field(default_factory=NetworkIndex)
    attachments: tuple[Attachment, ...] = ()
    remembered: tuple[Attachment, ...] = ()
    applied: bool = False  # this resource's network has existed before: its absence is drift
    host: HostView = field(default_factory=HostView)
    rules: RulesView = field(default_factory=RulesView)
    containers: tuple[Container, ...] = ()  # all that run
    members: frozenset[str] = frozenset()  # ids of containers that we attached to the resource's network
    proxied_subnets: tuple[ProxiedSubnet, ...] = ()  # of all resources: whom neighbour solicitations are answered for
    in_flight: tuple[str, ...] = ()  # other networks of the same pool that are being renumbered now
    refused: str = ""  # fingerprint of a wish that could not be carried out and was rolled back
    refusal: str = ""  # why
    entropy: bytes = bytes(5)  # 40 bits for a pool that is generated now


@dataclass(frozen=True, slots=True)
class Holdings:
    """The ledger at that moment."""

    allocations: tuple[Allocation, ...] = ()
    pool_prefixes: Mapping[str, IPv6Network] = field(default_factory=dict)
    tracked: Mapping[str, TrackedPrefix] = field(default_factory=dict)  # by interface
    bound: Mapping[str, Allocation] = field(init=False)  # the allocations in use, by owner

    def __post_init__(self) -> None:
        in_use = {a.owner: a for a in self.allocations if a.state is AllocationState.BOUND}
        object.__setattr__(self, "bound", in_use)
