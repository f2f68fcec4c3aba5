"""The end of a resource, and the sweep of what no resource asks for."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.network import DeletionPolicy, ManagementPolicy
from dockerv6.api.pool import IPv6Pool
from dockerv6.dockerd.model import Attachment, Network
from dockerv6.ipam.ledger import AllocationState
from dockerv6.planning.addressing.pools import cooldown
from dockerv6.planning.docker.engine import ENGINE_RETRY
from dockerv6.planning.docker.members import release_members
from dockerv6.planning.docker.network_spec import observed_network, own_network
from dockerv6.planning.host.ndp_proxy import release_proxy_entries
from dockerv6.planning.inputs import NAME, Desired, Holdings, Identity, NetworkIndex, Observed
from dockerv6.planning.plan import Finding, Plan
from dockerv6.planning.steps import EnsureRules, ForgetSubnet, ReleaseSubnet, RemoveNetwork, RemoveProxyNeighbour, Step


def plan_deletion(desired: Desired, observed: Observed, holdings: Holdings) -> Plan:
    """What is left to do before the resource is gone: network, allocation, rules, in this order.

    The rules go last, so that containers keep their connectivity for as long as the network is there.
    """
    name = desired.name
    live = own_network(desired, observed)
    steps: list[Step] = []
    if observed.engine is None:  # what has to go, or to be let be, can't be known
        what = f"Docker network {live.name} stays" if live is not None else "whether a network is left is not known"
        message = f"the Docker Engine gives no answer ({observed.engine_problem}); {what}"
        return _waiting(name, Finding(ConditionType.READY, Reason.ENGINE_UNAVAILABLE, message, retry=ENGINE_RETRY))
    if live is not None and not keeps_network(desired):
        running = [a for a in observed.attachments if a.running and a.container_id not in observed.members]
        if running:
            return _waiting(name, _attached(live.name, running))
        steps += release_members(desired, observed, live)
        steps.append(RemoveNetwork(live.id, live.name, "the resource is deleted"))
    theirs = observed_network(desired, observed)
    if theirs is not None and not _left_as_it_is(desired):
        steps += release_members(desired, observed, theirs)
    others = tuple(a for a in observed.proxied_subnets if a.owner != name)
    mine = tuple(a for a in observed.proxied_subnets if a.owner == name)
    steps += release_proxy_entries(mine, others, observed.containers, observed.host)
    held = holdings.bound.get(name)
    if held is not None:
        steps.append(ReleaseSubnet(held, "the resource is deleted"))
    changes = observed.rules.pending_changes.get(name, ())
    if (held or changes) and not observed.rules.problem:
        steps.append(EnsureRules(name, changes, "the resource is deleted"))
    return Plan("IPv6Network", name, tuple(steps))


def keeps_network(desired: Desired) -> bool:
    """Whether the Docker network outlives the resource.

    A suspended resource's does too: suspended means that everything is left as it is.
    """
    return desired.resource.spec.management_policy is ManagementPolicy.OBSERVE or _left_as_it_is(desired)


def _left_as_it_is(desired: Desired) -> bool:
    """Whether nothing at all is done to the network because of the deletion."""
    return desired.resource.spec.deletion_policy is DeletionPolicy.ORPHAN or desired.resource.spec.suspend


def _waiting(name: str, finding: Finding) -> Plan:
    return Plan("IPv6Network", name, findings=(finding,))


def _attached(network: str, running: list[Attachment]) -> Finding:
    names = ", ".join(a.container_name for a in running)
    return Finding(
        ConditionType.READY,
        Reason.ENDPOINTS_ATTACHED,
        f"Docker network {network} is removed when its containers are gone: {names};"
        " stop them or `docker network disconnect` them",
    )


@dataclass(frozen=True, slots=True)
class GarbageInputs:
    """What resources there are, for the sweep."""

    names: Collection[str]  # of every IPv6Network resource, those being deleted included
    orphans: Collection[str]  # ids of Docker networks that were kept on purpose
    pools: Mapping[str, IPv6Pool]  # by name


def plan_garbage(
    known: GarbageInputs,
    identity: Identity,
    networks: NetworkIndex,
    idle: Collection[str],
    holdings: Holdings,
    now: float,
    neighbours: Iterable[RemoveProxyNeighbour] = (),
) -> Plan:
    """Remove networks, allocations and proxy neighbours that no resource asks for any more.

    ``idle`` holds the ids of those candidates that no running container is attached to: the others wait.
    ``neighbours`` are those that nobody wants (`stray_neighbours`).
    """
    steps: list[Step] = []
    findings: list[Finding] = []
    strays = unclaimed_networks(known, identity, networks)
    for stray in strays:
        if stray.id in idle:
            steps.append(RemoveNetwork(stray.id, stray.name, f"no IPv6Network {stray.labels.get(NAME)} asks for it"))
        else:
            message = f"Docker network {stray.name} belongs to no resource and waits for its containers to leave"
            findings.append(Finding(ConditionType.READY, Reason.ENDPOINTS_ATTACHED, message))
    still_there = {n.labels.get(NAME) for n in strays if n.id not in idle}
    for allocation in holdings.allocations:
        if allocation.state is AllocationState.BOUND:
            if allocation.owner not in known.names and allocation.owner not in still_there:
                steps.append(ReleaseSubnet(allocation, "no resource asks for it"))
        elif now >= allocation.since + cooldown(allocation.pool, known.pools):
            steps.append(ForgetSubnet(allocation))
    steps += neighbours
    return Plan("Host", "garbage", tuple(steps), tuple(findings))


def unclaimed_networks(known: GarbageInputs, identity: Identity, networks: NetworkIndex) -> tuple[Network, ...]:
    """Docker networks of ours that belong to no resource, or twice to one (a crash between create and read-back)."""
    strays = []
    seen: set[tuple[str, str]] = set()
    for network in networks:  # ordered by id, as `own_network` picks
        if not identity.owns(network) or network.id in known.orphans:
            continue
        name = network.labels.get(NAME, "")
        if name not in known.names or (network.name, name) in seen:
            strays.append(network)
        seen.add((network.name, name))
    return tuple(strays)
