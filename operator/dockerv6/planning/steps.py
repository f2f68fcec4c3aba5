"""The steps of a plan: every change that dockerv6 makes, as a typed value with its reason.

A step class declares everything about its kind in one place: the sentence and the symbol that ``dockerv6 plan`` prints,
the fields that it changes, the condition that reports its failure, the event that records it. `controller.execute` has
one function for each class.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from typing import ClassVar

from dockerv6.api.conditions import ConditionType
from dockerv6.dockerd.model import Attachment, NetworkSpec
from dockerv6.firewall.model import ForwardDrop
from dockerv6.firewall.ruleset import RulesetChange
from dockerv6.ipam.ledger import Allocation

FieldValue = str | bool | list[str] | None
"""None: the field did not exist before, or does not exist afterwards."""

FieldChanges = Iterator[tuple[str, FieldValue, FieldValue]]
"""A field, and what a step knows of its value before and after; None: nothing."""

_ATTACHED = "attached"


class Step(ABC):
    """One change. A subclass is a frozen dataclass whose fields are what its executor needs."""

    __slots__ = ()

    symbol: ClassVar[str] = "~"
    """As in a Terraform plan: + adds, - removes, ~ changes."""

    condition: ClassVar[ConditionType] = ConditionType.NETWORK_READY
    """Where a failure of the step is reported."""

    event: ClassVar[str | None] = None
    """The reason of the event that is recorded for the resource once the step is done; None: no event."""

    ledger_only: ClassVar[bool] = False
    """Whether it changes only the ledger: a preview executes such steps on a copy, so that later plans see them."""

    independent: ClassVar[bool] = False
    """Whether the steps after it are executed even if the engine refuses this one."""

    cuts_off: ClassVar[bool] = False
    """Whether it begins a recreation: later steps with `restores` bring the owner's network and containers back."""

    restores: ClassVar[bool] = False
    """Whether it brings back what a step with `cuts_off` took away, or is needed for that."""

    committed_for_all: ClassVar[bool] = False
    """Whether the first resource executes it for all, so that its text depends on which resource comes first."""

    needs_engine_chains: ClassVar[bool] = False
    """Whether it waits until the engine can create networks: otherwise what it takes away could not be put back."""

    reason: str  # why it is planned, as a sentence fragment; never empty

    @abstractmethod
    def describe(self) -> str:
        """What is done to what, in one line."""

    def fields(self) -> FieldChanges:
        """The fields that it changes, for ``dockerv6 plan -o json``; by default none that a user sees."""
        yield from ()

    @property
    def action(self) -> str:
        """The kind of step in ``dockerv6 plan -o json``; stable, see docs/cli.md."""
        return type(self).__name__

    @property
    def disconnects(self) -> bool:
        """Whether a running container loses the network, if only for a moment."""
        return False


@dataclass(frozen=True, slots=True)
class KeepPoolPrefix(Step):
    """Record the prefix that was generated for a pool. It is kept for ever (RFC 4193, 3.2.2)."""

    symbol = "+"
    condition = ConditionType.SUBNET_ALLOCATED
    ledger_only = True

    pool: str
    prefix: IPv6Network
    reason: str = "first use of the pool; the random prefix is chosen when the plan is applied"

    def describe(self) -> str:
        return f"generate {self.prefix} for IPv6Pool {self.pool}"

    def fields(self) -> FieldChanges:
        yield f"pool.{self.pool}.prefix", None, str(self.prefix)


@dataclass(frozen=True, slots=True)
class BindSubnet(Step):
    """Allocate the subnet to the owner, durably, before anything uses it.

    ``seen`` is the revision of the owner's bound allocation that the plan was computed from; None: it had none.
    """

    symbol = "+"
    condition = ConditionType.SUBNET_ALLOCATED
    event = "SubnetAllocated"
    ledger_only = True
    restores = True

    owner: str
    pool: str  # "" for a subnet that the resource fixes
    prefix: IPv6Network
    seen: int | None
    reason: str

    def describe(self) -> str:
        return f"allocate {self.prefix}" + (f" from IPv6Pool {self.pool}" if self.pool else "")

    def fields(self) -> FieldChanges:
        yield "subnet", None, str(self.prefix)


@dataclass(frozen=True, slots=True)
class ReleaseSubnet(Step):
    """Release the subnet. Its pool's cooldown begins."""

    symbol = "-"
    condition = ConditionType.SUBNET_ALLOCATED
    ledger_only = True

    allocation: Allocation
    reason: str

    def describe(self) -> str:
        return f"release {self.allocation.prefix}"

    def fields(self) -> FieldChanges:
        yield "subnet", str(self.allocation.prefix), None


@dataclass(frozen=True, slots=True)
class ForgetSubnet(Step):
    """Delete an allocation whose cooldown is over."""

    symbol = "-"
    condition = ConditionType.SUBNET_ALLOCATED
    ledger_only = True

    allocation: Allocation
    reason: str = "its cooldown is over"

    def describe(self) -> str:
        return f"forget {self.allocation.prefix}, released by {self.allocation.owner}"

    def fields(self) -> FieldChanges:
        yield f"cooldown.{self.allocation.prefix}", self.allocation.owner, None


@dataclass(frozen=True, slots=True)
class SetSysctl(Step):
    """Set a sysctl. The first time, ``prior`` is recorded, so that an uninstall can restore it."""

    condition = ConditionType.HOST_READY
    restores = True

    name: str
    value: str
    prior: str
    reason: str

    def describe(self) -> str:
        return f"set sysctl {self.name}={self.value} (was {self.prior})"

    def fields(self) -> FieldChanges:
        yield f"sysctl.{self.name}", self.prior, self.value


@dataclass(frozen=True, slots=True)
class RestoreSysctl(Step):
    """Set a sysctl back to the value that it had before dockerv6 changed it."""

    condition = ConditionType.HOST_READY

    name: str
    value: str
    reason: str

    def describe(self) -> str:
        return f"restore sysctl {self.name}={self.value}"

    def fields(self) -> FieldChanges:
        yield f"sysctl.{self.name}", None, self.value


@dataclass(frozen=True, slots=True)
class RepairBridge(Step):
    """Set a bridge up and add its gateway address."""

    event = "BridgeRepaired"
    restores = True

    bridge: str
    address: IPv6Interface
    reason: str

    def describe(self) -> str:
        return f"repair bridge {self.bridge}: up, with {self.address}"

    def fields(self) -> FieldChanges:
        yield f"bridge.{self.bridge}.address", None, str(self.address)


@dataclass(frozen=True, slots=True)
class UpdateFirewall(Step):
    """Commit this change of our table, in one transaction.

    The change is bound to the table that it was computed from. It brings the whole table to what is desired; the plan
    of ``owner`` shows the parts that concern the owner.
    """

    condition = ConditionType.FIREWALL_READY
    restores = True
    committed_for_all = True

    owner: str
    change: RulesetChange
    reason: str

    @property
    def changes(self) -> tuple[str, ...]:
        """What changes for the owner, in words; what all owners share comes first."""
        return self.change.lines_for(self.owner)

    def describe(self) -> str:
        return f"firewall: {'; '.join(self.changes)}"

    def fields(self) -> FieldChanges:
        removed, added = self.change.removed_and_added(self.owner)
        yield "firewall", list(removed) or None, list(added) or None


@dataclass(frozen=True, slots=True)
class AddAcceptRule(Step):
    """Add the accept rule for our mark to a chain of the host's own filter."""

    condition = ConditionType.FIREWALL_READY

    forward_drop: ForwardDrop
    reason: str = "the chain drops forwarded packets"

    def describe(self) -> str:
        return f"accept marked flows in {_chain(self.forward_drop)}"

    def fields(self) -> FieldChanges:
        yield _accept_rule(self.forward_drop), None, True


@dataclass(frozen=True, slots=True)
class RemoveAcceptRule(Step):
    """Remove our accept rule from a chain that does not need it."""

    symbol = "-"
    condition = ConditionType.FIREWALL_READY

    forward_drop: ForwardDrop
    reason: str = "the chain does not need it"

    def describe(self) -> str:
        return f"remove the accept rule from {_chain(self.forward_drop)}"

    def fields(self) -> FieldChanges:
        yield _accept_rule(self.forward_drop), True, None


@dataclass(frozen=True, slots=True)
class RememberEndpoints(Step):
    """Record, durably, which containers are attached again later, before they are detached."""

    restores = True

    owner: str  # the resource
    network: str
    endpoints: tuple[Attachment, ...]
    reason: str = "they are attached again after the recreation"

    def describe(self) -> str:
        return f"remember {len(self.endpoints)} endpoints of {self.network}"


@dataclass(frozen=True, slots=True)
class RememberNetwork(Step):
    """Record, durably, the network as it is, before it is removed: a rollback creates it again."""

    restores = True

    owner: str  # the resource
    previous: NetworkSpec
    subnet: IPv6Network  # what the owner had allocated
    pool: str
    reason: str = "it is restored if the new network cannot be created"

    def describe(self) -> str:
        return f"remember Docker network {self.previous.name} with {self.subnet}"

    def fields(self) -> FieldChanges:
        yield "subnet", str(self.subnet), None
        for field, value in _spec_fields(self.previous):
            yield field, value, None


@dataclass(frozen=True, slots=True)
class AddProxyNeighbour(Step):
    """Add an NDP proxy entry: the host answers neighbour solicitations for a container's address."""

    symbol = "+"
    condition = ConditionType.HOST_READY

    interface: str
    address: IPv6Address
    reason: str = "neighbours on the link ask for it"

    def describe(self) -> str:
        return f"proxy neighbour solicitations for {self.address} on {self.interface}"

    def fields(self) -> FieldChanges:
        yield f"ndpProxy.{self.interface}.{self.address}", None, True


@dataclass(frozen=True, slots=True)
class RemoveProxyNeighbour(Step):
    """Remove an NDP proxy entry."""

    symbol = "-"
    condition = ConditionType.HOST_READY

    interface: str
    address: IPv6Address
    reason: str = "no container has this address"

    def describe(self) -> str:
        return f"stop proxying neighbour solicitations for {self.address} on {self.interface}"

    def fields(self) -> FieldChanges:
        yield f"ndpProxy.{self.interface}.{self.address}", True, None


@dataclass(frozen=True, slots=True)
class DetachEndpoint(Step):
    """Detach a container from the network."""

    symbol = "-"
    event = "EndpointDetached"
    cuts_off = True
    needs_engine_chains = True

    network_id: str
    endpoint: Attachment
    reason: str = "the network is recreated"

    def describe(self) -> str:
        return f"detach container {self.endpoint.container_name}"

    def fields(self) -> FieldChanges:
        yield _container(self.endpoint), _ATTACHED, None

    @property
    def disconnects(self) -> bool:
        return self.endpoint.running


@dataclass(frozen=True, slots=True)
class RemoveNetwork(Step):
    """Remove a Docker network of ours."""

    symbol = "-"
    event = "NetworkRemoved"
    cuts_off = True
    needs_engine_chains = True

    network_id: str
    name: str
    reason: str

    def describe(self) -> str:
        return f"remove Docker network {self.name} ({self.network_id[:12]})"

    def fields(self) -> FieldChanges:
        yield "network.name", self.name, None


@dataclass(frozen=True, slots=True)
class CreateNetwork(Step):
    """Create the Docker network."""

    symbol = "+"
    event = "NetworkCreated"
    restores = True
    needs_engine_chains = True

    spec: NetworkSpec
    reason: str

    def describe(self) -> str:
        subnets = ", ".join(str(config.subnet) for config in self.spec.ipam)
        return f"create Docker network {self.spec.name} ({self.spec.driver}, {subnets})"

    def fields(self) -> FieldChanges:
        for field, value in _spec_fields(self.spec):
            yield field, None, value


@dataclass(frozen=True, slots=True)
class AttachEndpoint(Step):
    """Attach a container again, with the aliases, addresses and priority that it had."""

    symbol = "+"
    event = "EndpointAttached"
    independent = True
    restores = True
    needs_engine_chains = True

    network: str  # its name: the id is not known before it is created
    endpoint: Attachment
    reason: str = "it was attached before"

    def describe(self) -> str:
        return f"attach container {self.endpoint.container_name} to {self.network}"

    def fields(self) -> FieldChanges:
        yield _container(self.endpoint), None, _ATTACHED


@dataclass(frozen=True, slots=True)
class AttachMember(Step):
    """Attach a container that has the labels of ``spec.members``. It is recorded first, so that it can be undone."""

    symbol = "+"
    event = "MemberAttached"
    independent = True
    needs_engine_chains = True

    owner: str  # the resource
    network: str  # its name
    endpoint: Attachment
    reason: str = "it matches spec.members"

    def describe(self) -> str:
        return f"attach container {self.endpoint.container_name} to {self.network}"

    def fields(self) -> FieldChanges:
        yield _container(self.endpoint), None, _ATTACHED


@dataclass(frozen=True, slots=True)
class DetachMember(Step):
    """Undo an `AttachMember`."""

    symbol = "-"
    event = "MemberDetached"
    needs_engine_chains = True

    owner: str
    network_id: str
    endpoint: Attachment
    reason: str

    def describe(self) -> str:
        return f"detach container {self.endpoint.container_name}"

    def fields(self) -> FieldChanges:
        yield _container(self.endpoint), _ATTACHED, None

    @property
    def disconnects(self) -> bool:
        return self.endpoint.running


@dataclass(frozen=True, slots=True)
class SetHairpin(Step):
    """Set hairpin mode on a bridge port, so that the container reaches itself through the host's address."""

    condition = ConditionType.HOST_READY

    port: str
    bridge: str
    reason: str = "containers reach their own published ports"

    def describe(self) -> str:
        return f"set hairpin mode on port {self.port} of bridge {self.bridge}"

    def fields(self) -> FieldChanges:
        yield f"bridge.{self.bridge}.{self.port}.hairpin", False, True


@dataclass(frozen=True, slots=True)
class SetBridgeNetfilter(Step):
    """Pass packets between containers of one bridge to the packet filter."""

    condition = ConditionType.HOST_READY

    bridge: str
    reason: str = "bridge.icc is false"

    def describe(self) -> str:
        return f"pass packets bridged within {self.bridge} to ip6tables"

    def fields(self) -> FieldChanges:
        yield f"bridge.{self.bridge}.netfilter", False, True


def _chain(drop: ForwardDrop) -> str:
    return f"{drop.variant} {drop.table} {drop.chain}"


def _accept_rule(drop: ForwardDrop) -> str:
    return f"hostFilter.{drop.variant}.{drop.chain}.acceptRule"


def _container(endpoint: Attachment) -> str:
    return f"containers.{endpoint.container_name}"


def _spec_fields(spec: NetworkSpec) -> Iterator[tuple[str, FieldValue]]:
    yield "network.name", spec.name
    yield "network.driver", spec.driver
    yield "network.internal", spec.internal
    yield "network.attachable", spec.attachable
    yield "network.ipv4", spec.enable_ipv4
    yield "network.ipv6", spec.enable_ipv6
    yield "network.subnets", [str(config.subnet) for config in spec.ipam]
    yield "network.gateways", [str(config.gateway) for config in spec.ipam if config.gateway is not None]
    for name, value in sorted(spec.options.items()):
        yield f"network.options.{name}", value
    for name, value in sorted(spec.labels.items()):
        yield f"network.labels.{name}", value
