"""The deletion of a resource, and the garbage collection of what no resource claims."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.network import DeletionPolicy, ManagementPolicy
from dockerv6.api.pool import IPv6Pool
from dockerv6.dockerd.model import Attachment, Network
from dockerv6.ipam.ledger import AllocationState
from dockerv6.lib.text import shell_quoted
from dockerv6.planning.addressing.pools import cooldown
from dockerv6.planning.docker.engine import engine_finding
from dockerv6.planning.docker.members import release_members
from dockerv6.planning.docker.network_spec import observed_network, own_network
from dockerv6.planning.host.ndp_proxy import release_proxy_entries
from dockerv6.planning.inputs import NAME_LABEL, Desired, Holdings, Identity, NetworkIndex, Observed
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import (
    ForgetSubnet,
    ReleaseSubnet,
    RemoveNetwork,
    RemoveProxyNeighbour,
    Step,
    UpdateFirewall,
)


def plan_deletion(desired: Desired, observed: Observed, holdings: Holdings) -> Plan:
    """Remove the resource's network, then release its allocation, then remove its rules.

    The rules are last, so that containers keep their connectivity while the network exists.
    """
    name = desired.name
    live = own_network(desired, observed)
    steps: list[Step] = []
    if desired.suspended:
        message = f"it is suspended, so its deletion waits: run `dockerv6 resume ipv6network/{name}` to have it deleted"
        return _waiting(name, Finding(ConditionType.READY, Reason.SUSPENDED, message))
    if observed.engine is None:  # whether there is a network to remove is unknown
        return _waiting(name, engine_finding(ConditionType.READY, observed, ", so the deletion can't continue"))
    if live is not None and not keeps_network(desired):
        running = [a for a in observed.attachments if a.running and a.container_id not in observed.members]
        if running:
            return _waiting(name, _attached(live.name, running))
        steps += release_members(desired, observed, live)
        steps.append(RemoveNetwork(live.id, live.name, "the resource is deleted"))
    foreign = observed_network(desired, observed)
    if foreign is not None and not _untouched(desired):
        steps += release_members(desired, observed, foreign)
    others = tuple(p for p in observed.proxied_subnets if p.owner != name)
    own = tuple(p for p in observed.proxied_subnets if p.owner == name)
    steps += release_proxy_entries(own, others, observed.containers, observed.host)
    bound = holdings.bound.get(name)
    if bound is not None:
        steps.append(ReleaseSubnet(bound, "the resource is deleted"))
    if not observed.rules.problem:
        change = observed.rules.snapshot.with_contribution(name, None).change
        if name in change.owners:
            steps.append(UpdateFirewall(name, change, "the resource is deleted"))
    return Plan("IPv6Network", name, tuple(steps))


def keeps_network(desired: Desired) -> bool:
    """Whether the Docker network stays when the resource is deleted. It does if the resource's file suspends it."""
    return desired.resource.spec.management_policy is ManagementPolicy.OBSERVE or _untouched(desired)


def _untouched(desired: Desired) -> bool:
    """Whether the deletion does not change the network or its members at all."""
    return desired.resource.spec.deletion_policy is DeletionPolicy.ORPHAN or desired.resource.spec.suspend


def _waiting(name: str, finding: Finding) -> Plan:
    return Plan("IPv6Network", name, findings=(finding,))


def _attached(network: str, running: list[Attachment]) -> Finding:
    names = ", ".join(a.container_name for a in running)
    commands = ", ".join(
        f"`docker network disconnect {shell_quoted(network)} {shell_quoted(a.container_name)}`" for a in running
    )
    return Finding(
        ConditionType.READY,
        Reason.ENDPOINTS_ATTACHED,
        f"Docker network {network} is removed when no running container is attached; attached are: {names};"
        f" stop them, or run {commands}",
    )


@dataclass(frozen=True, slots=True)
class GarbageInputs:
    """The resources that claim networks and allocations."""

    names: Collection[str]  # of all IPv6Network resources, including those that are being deleted
    kept: Collection[str]  # ids of Docker networks that stay: orphans, and what this installation did not create
    pools: Mapping[str, IPv6Pool]  # by name
    disowned: Collection[str] = ()  # ids of Docker networks whose labels name a resource that does not own them


def plan_garbage(
    known: GarbageInputs,
    identity: Identity,
    networks: NetworkIndex,
    idle: Collection[str],
    holdings: Holdings,
    now: float,
    neighbours: Iterable[RemoveProxyNeighbour] = (),
) -> Plan:
    """Remove networks, allocations and NDP proxy entries that no resource claims.

    Args:
        known: the resources.
        identity: this instance.
        networks: all live Docker networks.
        idle: ids of unclaimed networks without a running container; the others wait.
        holdings: the ledger.
        now: Unix seconds.
        neighbours: the entries to remove (`unclaimed_proxy_entries`).
    """
    steps: list[Step] = []
    findings: list[Finding] = []
    unclaimed = unclaimed_networks(known, identity, networks)
    for network in unclaimed:
        if network.id in idle:
            reason = f"there is no IPv6Network {network.labels.get(NAME_LABEL)}"
            steps.append(RemoveNetwork(network.id, network.name, reason))
        else:
            message = (
                f"Docker network {network.name} belongs to no resource and is removed when no running container is"
                " attached; stop the attached containers, or detach them with `docker network disconnect`"
            )
            findings.append(Finding(ConditionType.READY, Reason.ENDPOINTS_ATTACHED, message))
    waiting = {n.labels.get(NAME_LABEL) for n in unclaimed if n.id not in idle}
    for allocation in holdings.allocations:
        if allocation.state is AllocationState.BOUND:
            if allocation.owner not in known.names and allocation.owner not in waiting:
                steps.append(ReleaseSubnet(allocation, "no resource claims it"))
        elif now >= allocation.since + cooldown(allocation.pool, known.pools):
            steps.append(ForgetSubnet(allocation))
    steps += neighbours
    return Plan("Host", "garbage", tuple(steps), tuple(findings))


def unclaimed_networks(known: GarbageInputs, identity: Identity, networks: NetworkIndex) -> tuple[Network, ...]:
    """Docker networks of ours that no resource owns, and duplicates (a crash after the creation leaves one)."""
    unclaimed = []
    seen: set[tuple[str, str]] = set()
    for network in networks:  # ordered by id, as `own_network` chooses
        if not identity.labelled(network) or network.id in known.kept:
            continue
        name = network.labels.get(NAME_LABEL, "")
        if name not in known.names or network.id in known.disowned or (network.name, name) in seen:
            unclaimed.append(network)
        seen.add((network.name, name))
    return tuple(unclaimed)
