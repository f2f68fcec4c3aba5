"""The way back: a network that was taken away for one that can't be had comes back as it was. Pure."""

from dataclasses import dataclass
from ipaddress import IPv6Network

from dockerv6.dockerd.model import NetworkSpec
from dockerv6.planning.docker.endpoints import attach
from dockerv6.planning.inputs import Desired, Holdings, Observed
from dockerv6.planning.network import own_network
from dockerv6.planning.plan import Plan
from dockerv6.planning.steps import (
    BindSubnet,
    CreateNetwork,
    DetachEndpoint,
    EnsureRules,
    RememberEndpoints,
    RemoveNetwork,
    Step,
)

WHY = "the new one could not be had"


@dataclass(frozen=True, slots=True)
class PreviousNetwork:
    """How the network was before it was made anew, as written down by `RememberNetwork`."""

    spec: NetworkSpec
    subnet: IPv6Network
    pool: str


def plan_rollback(desired: Desired, observed: Observed, holdings: Holdings, previous: PreviousNetwork) -> Plan:
    """Back to what was there: the subnet, its rules, the network, and everybody who was on it.

    Those who are on the new network already are taken off it, written down before.
    """
    name, live = desired.name, own_network(desired, observed)
    everybody = (*observed.attachments, *observed.remembered)
    steps: list[Step] = []
    if live is not None:
        if everybody:
            steps.append(RememberEndpoints(name, live.name, everybody, WHY))
        steps += [DetachEndpoint(live.id, e, WHY) for e in observed.attachments]
        steps.append(RemoveNetwork(live.id, live.name, WHY))
    bound = holdings.bound.get(name)
    if bound is None or bound.prefix != previous.subnet:
        seen = bound.revision if bound is not None else None
        steps.append(BindSubnet(name, previous.pool, previous.subnet, seen, WHY))
    steps.append(EnsureRules(name, (), WHY))
    steps.append(CreateNetwork(previous.spec, WHY))
    steps += attach(everybody, previous.spec)
    return Plan("IPv6Network", name, tuple(steps))
