"""Plausible inputs of plans, for the tests of planning."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, ip_address

from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.pool import IPv6Pool
from dockerv6.dockerd.model import (
    Attachment,
    Container,
    ContainerEndpoint,
    EngineInfo,
    Network,
    NetworkSpec,
    PortBinding,
    SubnetConfig,
)
from dockerv6.firewall.expr import Element, ElementSet, KeyType
from dockerv6.firewall.model import FilterVariant, FlowProblem, ForwardDrop
from dockerv6.firewall.operations import AddElements, AddTable
from dockerv6.firewall.ruleset import RulesetChange
from dockerv6.hostnet.model import Interface, Route, RouteProtocol
from dockerv6.ipam.ledger import Allocation, AllocationState
from dockerv6.planning.addressing.tracked_prefixes import PreviousPrefix, TrackedPrefix
from dockerv6.planning.docker.network_spec import network_spec, with_spec_hash
from dockerv6.planning.firewall.contributions import network_contribution
from dockerv6.planning.firewall.desired import DesiredFirewall, FirewallSnapshot
from dockerv6.planning.inputs import Desired, Holdings, HostView, Identity, NetworkIndex, Observed, RulesView
from dockerv6.planning.network import plan_network
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import Step
from tests.simulation.resources import network, pool

NOW = 1_700_000_000.0
ENGINE_20_10 = EngineInfo("host", "20.10.24", (20, 10), "1.41")
ENGINE_28 = EngineInfo("host", "28.5.2", (28, 5), "1.51", "iptables")
SUBNET = IPv6Network("fd12:3456:789a:1::/64")
PUBLIC = IPv6Network("2001:db8:5:1::/64")
"""Another subnet, with public addresses."""
TRANSLATED: dict[str, object] = {"mode": "PrefixTranslation", "prefixFrom": {"interface": "eth0"}}
"""An egress with prefix translation."""
OUTER = IPv6Network("2001:db8:100:1::/64")
"""What it translates SUBNET to when eth0 has 2001:db8:100::/48."""
POOL = pool(prefix="fd12:3456:789a::/48")
IDENTITY = Identity()
DEFAULT_ROUTE = Route(IPv6Network("::/0"), "eth0", RouteProtocol.STATIC, 254)
FORWARD = ForwardDrop(FilterVariant.XTABLES_NFT, "filter", "FORWARD", has_accept_rule=False)
STUBBORN = FlowProblem(
    "blog", "connections are dropped by inet table site, chain forward: handle 4", certain=True, commands=("allow it",)
)


def desired(resource: NetworkResource | None = None, /, *pools: IPv6Pool, **spec: object) -> Desired:
    """A desired network, with a default pool."""
    known = {POOL.metadata.name: POOL, **{p.metadata.name: p for p in pools}}
    return Desired(resource if resource is not None else network("blog", **spec), known)


def allocation(
    prefix: IPv6Network | str = SUBNET,
    owner: str = "blog",
    pool: str = "default",
    state: AllocationState = AllocationState.BOUND,
    since: float = NOW,
    revision: int = 7,
) -> Allocation:
    """A row of the ledger."""
    return Allocation(owner, pool, IPv6Network(prefix), state, since, revision)


def cooling(
    prefix: IPv6Network | str = SUBNET, owner: str = "old", pool: str = "default", ago: float = 0
) -> Allocation:
    """An allocation that was released so many seconds ago."""
    return allocation(prefix, owner, pool, AllocationState.COOLING, NOW - ago)


def holdings(*allocations: Allocation, **pool_prefixes: IPv6Network) -> Holdings:
    """The ledger."""
    return Holdings(allocations, pool_prefixes)


def tracked(prefix: str, *previous: str, interface: str = "eth0") -> TrackedPrefix:
    """The prefix that an interface has had for an hour, and those that it had before, newest first."""
    before = tuple(PreviousPrefix(IPv6Network(each), NOW + 3600) for each in previous)
    return TrackedPrefix(interface, IPv6Network(prefix), NOW - 3600, former=before)


def holding(*allocations: Allocation, following: TrackedPrefix) -> Holdings:
    """The ledger, and the tracked prefix of an interface."""
    return Holdings(allocations, tracked={following.interface: following})


def created(spec: NetworkSpec, number: int = 1) -> Network:
    """The network that an engine creates from the specification."""
    ipam = spec.ipam
    if spec.enable_ipv4 and not any(isinstance(c.subnet, IPv4Network) for c in ipam):
        ipam = (SubnetConfig(IPv4Network(f"172.{17 + number}.0.0/16")), *ipam)
    return Network(
        id=f"{number:064x}",
        name=spec.name,
        driver=spec.driver,
        internal=spec.internal,
        attachable=spec.attachable,
        enable_ipv4=spec.enable_ipv4,
        enable_ipv6=spec.enable_ipv6,
        ipam=ipam,
        options=spec.options,
        labels=spec.labels,
    )


def live(want: Desired | None = None, subnet: IPv6Network = SUBNET, number: int = 1) -> Network:
    """The live network of a desired one."""
    want = want or desired()
    return created(with_spec_hash(network_spec(want.resource, subnet, want.identity)), number)


def foreign(name: str, subnet: str = "fd99::/64", number: int = 99, /, **labels: str) -> Network:
    """A network that dockerv6 did not create."""
    config = SubnetConfig(IPv6Network(subnet), IPv6Network(subnet)[1])
    return Network(f"{number:064x}", name, "bridge", enable_ipv6=True, ipam=(config,), labels=labels)


def bridge(of: Network, *, up: bool = True, index: int = 9) -> Interface:
    """The bridge interface of a network, in sync."""
    addresses = tuple(
        IPv6Interface((c.gateway, c.subnet.prefixlen)) for c in of.ipv6 if isinstance(c.gateway, IPv6Address)
    )
    return Interface(index, of.bridge or "", "bridge", up=up, mtu=1500, addresses=addresses)


def host(*interfaces: Interface, routes: tuple[Route, ...] = (DEFAULT_ROUTE,), **changes: object) -> HostView:
    """A host that forwards, with eth0, with the default route, and these interfaces."""
    eth0 = Interface(2, "eth0", "", up=True, mtu=1500)
    view = HostView(interfaces={i.name: i for i in (eth0, *interfaces)}, routes=routes)
    return replace(view, **changes)  # type: ignore[arg-type]


def rules_in_place(subnet: IPv6Network = SUBNET) -> FirewallSnapshot:
    """Our table with the rules of network blog."""
    desired_ = DesiredFirewall((network_contribution(network("blog"), subnet, ()),))
    return FirewallSnapshot(desired_, desired_.ruleset)


IN_PLACE = rules_in_place()


def lacking(*owners: str, **changes: object) -> RulesView:
    """A table that lacks an element of each owner; "" stands for the table itself."""
    elements = tuple(Element(("x",), owner) for owner in owners if owner)
    networks = ElementSet("networks", (KeyType.PREFIX,))
    added = (AddElements(networks, elements),) if elements else ()
    change = RulesetChange((*((AddTable(),) if "" in owners else ()), *added))
    return replace(RulesView(change=change, snapshot=IN_PLACE, backend="fake"), **changes)  # type: ignore[arg-type]


def observed(*networks: Network, **changes: object) -> Observed:
    """The observed state: these networks exist, with their bridges and rules in place."""
    view = host(*(bridge(n) for n in networks if n.bridge))
    rules = RulesView(snapshot=IN_PLACE, backend="fake")
    state = Observed(now=NOW, engine=ENGINE_28, networks=NetworkIndex(networks), host=view, rules=rules)
    return replace(state, **changes)  # type: ignore[arg-type]


def route(
    destination: str, interface: str = "eth0", protocol: RouteProtocol = RouteProtocol.KERNEL, table: int = 254
) -> Route:
    """A route of the host."""
    return Route(IPv6Network(destination), interface, protocol, table)


def container(name: str, *, running: bool = True, ipv6: str | None = None, ipv4: str | None = None) -> Attachment:
    """The attachment of a container, with or without fixed addresses."""
    return replace(
        Attachment(f"{name}-id", name, running, aliases=(name,)),
        static_ipv6=IPv6Address(ipv6) if ipv6 else None,
        static_ipv4=IPv4Address(ipv4) if ipv4 else None,
    )


def kinds(steps: Plan | tuple[Step, ...]) -> list[str]:
    """The names of the steps."""
    return [type(s).__name__ for s in (steps.steps if isinstance(steps, Plan) else steps)]


def reasons(found: Plan | tuple[Finding, ...]) -> list[tuple[str, str]]:
    """The findings by condition and reason."""
    return [(str(f.condition), str(f.reason)) for f in (found.findings if isinstance(found, Plan) else found)]


def decide(want: Desired, state: Observed, held: Holdings | None = None) -> Plan:
    """The plan."""
    return plan_network(want, state, held if held is not None else holdings())


def running(
    name: str, *on: ContainerEndpoint, created: int = 1, ports: tuple[PortBinding, ...] = (), **labels: str
) -> Container:
    """A running container."""
    return Container(f"{name}-id", name, created, labels, ports, on)


def end(of: Network, ipv6: IPv6Address | str | None, priority: int = 0) -> ContainerEndpoint:
    """The endpoint of a container on a network."""
    return ContainerEndpoint(of.id, of.name, IPv6Address(ipv6) if ipv6 is not None else None, priority)


def binding(port: int, to: int = 80, at: str | None = "::", protocol: str = "tcp") -> PortBinding:
    """A port of the host that the engine has given to a container's port."""
    return PortBinding(protocol, to, port, ip_address(at) if at is not None else None)


HELD = holdings(allocation())
LACKING = lacking("blog")


def in_sync(**changes: object) -> tuple[Network, Observed]:
    """A network in sync."""
    there = live()
    return there, observed(there, applied=True, **changes)


def recreate(strategy: str, *endpoints: object, **changes: object) -> Plan:
    """The plan for a network that must be recreated, with these containers attached."""
    _, state = in_sync(attachments=endpoints, **changes)
    return decide(desired(updateStrategy=strategy, internal=True), state, HELD)
