"""The steps that a plan is made of: typed, ordered, each with its reason, printable and executable as they are."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from dockerv6.dockerd.model import Attachment, NetworkSpec
from dockerv6.firewall.model import ForwardDrop
from dockerv6.ipam.ledger import Allocation


@dataclass(frozen=True, slots=True)
class KeepPoolPrefix:
    """Keep the prefix that was generated for a pool, for ever (RFC 4193)."""

    pool: str
    prefix: IPv6Network
    reason: str = "first use of the pool; it is random, and chosen when this is applied"


@dataclass(frozen=True, slots=True)
class BindSubnet:
    """Make the subnet the owner's, durably, before anything uses it.

    ``seen`` is the revision of the bound allocation that the plan was made with; None: it had none.
    """

    owner: str
    pool: str
    prefix: IPv6Network
    seen: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class ReleaseSubnet:
    """Give the subnet back; its pool's cooldown begins."""

    allocation: Allocation
    reason: str


@dataclass(frozen=True, slots=True)
class ForgetSubnet:
    """Drop an allocation whose cooldown is over."""

    allocation: Allocation
    reason: str = "its cooldown is over"


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """Set a sysctl; ``prior`` is remembered the first time, to be restored by an uninstall."""

    name: str
    value: str
    prior: str
    reason: str


@dataclass(frozen=True, slots=True)
class RestoreSysctl:
    """Set a sysctl back to what it was before dockerv6 changed it."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class RepairBridge:
    """Give a bridge its gateway address back, and set it up."""

    bridge: str
    address: IPv6Interface
    reason: str


@dataclass(frozen=True, slots=True)
class EnsureRules:
    """Bring our table to the whole host's intent, in one transaction; planned for ``owner``."""

    owner: str
    changes: tuple[str, ...]  # as `Change.describe` says them; empty when they follow from an earlier step
    reason: str


@dataclass(frozen=True, slots=True)
class AddAcceptRule:
    """Put the accept rule for our mark into the host's own filter."""

    barrier: ForwardDrop
    reason: str = "it drops forwarded packets"


@dataclass(frozen=True, slots=True)
class RemoveAcceptRule:
    """Remove our accept rule from where it no longer belongs."""

    barrier: ForwardDrop
    reason: str = "nothing needs it there"


@dataclass(frozen=True, slots=True)
class RememberEndpoints:
    """Write down, durably, which containers are to be attached again, before they are detached."""

    owner: str  # the resource
    network: str
    endpoints: tuple[Attachment, ...]
    reason: str = "they are attached again after the recreation"


@dataclass(frozen=True, slots=True)
class RememberNetwork:
    """Write down, durably, how the network was, before it is removed: if the new one can't be had, it comes back."""

    owner: str  # the resource
    previous: NetworkSpec
    subnet: IPv6Network  # what the owner held
    pool: str
    reason: str = "it comes back if the new one can't be made"


@dataclass(frozen=True, slots=True)
class AddProxyNeighbour:
    """Answer neighbour solicitations for a container's address."""

    interface: str
    address: IPv6Address
    reason: str = "neighbours ask for it on the link"


@dataclass(frozen=True, slots=True)
class RemoveProxyNeighbour:
    """Answer no more."""

    interface: str
    address: IPv6Address
    reason: str = "nothing has this address any more"


@dataclass(frozen=True, slots=True)
class DetachEndpoint:
    """Detach a container from the network."""

    network_id: str
    endpoint: Attachment
    reason: str = "the network is recreated"


@dataclass(frozen=True, slots=True)
class RemoveNetwork:
    """Remove a Docker network of ours."""

    network_id: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class CreateNetwork:
    """Create the Docker network."""

    spec: NetworkSpec
    reason: str


@dataclass(frozen=True, slots=True)
class AttachEndpoint:
    """Attach a container that the network had, the way that it was attached."""

    network: str  # its name: the id is only known once it has been created
    endpoint: Attachment
    reason: str = "it was attached before"


@dataclass(frozen=True, slots=True)
class AttachMember:
    """Attach a container that has the labels of ``spec.members``; written down first, so that it can be undone."""

    owner: str  # the resource
    network: str  # its name
    endpoint: Attachment
    reason: str = "it matches spec.members"


@dataclass(frozen=True, slots=True)
class DetachMember:
    """Undo an `AttachMember`."""

    owner: str
    network_id: str
    endpoint: Attachment
    reason: str


@dataclass(frozen=True, slots=True)
class SetHairpin:
    """Let a container reach itself through the host's address: its bridge port may send frames back."""

    port: str
    bridge: str
    reason: str = "containers reach their own published ports"


@dataclass(frozen=True, slots=True)
class SetBridgeNetfilter:
    """Let the packet filter see what containers of one bridge say to one another."""

    bridge: str
    reason: str = "bridge.icc is false"


Step = (
    KeepPoolPrefix
    | BindSubnet
    | ReleaseSubnet
    | ForgetSubnet
    | SetSysctl
    | RestoreSysctl
    | RepairBridge
    | EnsureRules
    | AddAcceptRule
    | RemoveAcceptRule
    | RememberEndpoints
    | RememberNetwork
    | AddProxyNeighbour
    | RemoveProxyNeighbour
    | DetachEndpoint
    | RemoveNetwork
    | CreateNetwork
    | AttachEndpoint
    | AttachMember
    | DetachMember
    | SetHairpin
    | SetBridgeNetfilter
)


class Disruption(StrEnum):
    """What carrying out a plan does to running containers."""

    NONE = "None"
    RECREATE = "Recreate"  # the network goes and comes back; nothing is attached to it
    DISCONNECTS = "Disconnects"  # running containers lose the network for a moment


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know: becomes a condition.

    ``retry`` is when to look again without being told, in seconds; None: only a change can help.
    """

    condition: str  # a condition type of `api.conditions`
    reason: str
    message: str
    blocks: bool = True  # nothing is done for the resource until it is mended
    retry: float | None = None
    unknown: bool = False  # it may well be harmless: the condition is Unknown, not False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one resource, and why; the daemon executes exactly what ``dockerv6 plan`` prints."""

    kind: str
    name: str
    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    drift: tuple[str, ...] = ()  # what differs from what was applied before, in words

    @property
    def empty(self) -> bool:
        """Nothing to do."""
        return not self.steps

    @property
    def blocked(self) -> Finding | None:
        """The first finding that keeps the resource from being carried out."""
        return next((f for f in self.findings if f.blocks), None)

    @property
    def disconnected(self) -> int:
        """How many running containers are detached on the way."""
        return sum(1 for s in self.steps if isinstance(s, DetachEndpoint | DetachMember) and s.endpoint.running)

    @property
    def disruption(self) -> Disruption:
        """The label that ``dockerv6 plan`` shows."""
        if self.disconnected:
            return Disruption.DISCONNECTS
        if any(isinstance(s, RemoveNetwork) for s in self.steps) and any(
            isinstance(s, CreateNetwork) for s in self.steps
        ):
            return Disruption.RECREATE
        return Disruption.NONE
