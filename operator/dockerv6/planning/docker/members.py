"""Containers that are attached to a network because of their labels. Pure.

Only attachments that we made are ever undone: they are written down before they are made (`steps.AttachMember`).
"""

from collections.abc import Iterable

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.dockerd.model import Attachment, Container, Network, NetworkSpec
from dockerv6.planning.firewall.port_claims import has_labels
from dockerv6.planning.inputs import Desired, Observed
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import AttachMember, DetachMember

GATEWAY_PRIORITY_SINCE = (28, 0)
COMPOSE_SERVICE = "com.docker.compose.service"
_ALONE = ("host", "none")


def matching_members(desired: Desired, containers: Iterable[Container]) -> tuple[Container, ...]:
    """Running containers with the labels, in order of their names."""
    labels = desired.resource.spec.members.match_labels
    return tuple(sorted((c for c in containers if has_labels(c.labels, labels)), key=lambda c: (c.name, c.id)))


def attach_members(desired: Desired, observed: Observed, network: Network | NetworkSpec) -> tuple[AttachMember, ...]:
    """Attach those that have the labels and are not attached in whatever way."""
    attached = {a.container_id for a in (*observed.attachments, *observed.remembered)}
    return tuple(
        AttachMember(desired.name, network.name, _attachment(container, observed))
        for container in matching_members(desired, observed.containers)
        if container.id not in attached and not _alone(container)
    )


def detach_members(desired: Desired, observed: Observed, live: Network) -> tuple[DetachMember, ...]:
    """Detach those of ours that run without the labels. Those that don't run keep theirs: their labels aren't known."""
    meant = {c.id for c in matching_members(desired, observed.containers)}
    running = {c.id for c in observed.containers}
    return tuple(
        DetachMember(desired.name, live.id, each, "it does not match spec.members any more")
        for each in observed.attachments
        if each.container_id in observed.members and each.container_id in running and each.container_id not in meant
    )


def release_members(desired: Desired, observed: Observed, live: Network) -> tuple[DetachMember, ...]:
    """Detach all that we attached: the network is to go, and a stopped container could not start without it."""
    return tuple(
        DetachMember(desired.name, live.id, each, "the resource is deleted")
        for each in observed.attachments
        if each.container_id in observed.members
    )


def member_findings(desired: Desired, observed: Observed) -> tuple[Finding, ...]:
    """Who has the labels and can't be attached, or that nobody has them."""
    if not desired.resource.spec.members.match_labels or observed.engine is None:
        return ()
    wanted = matching_members(desired, observed.containers)
    alone = [c for c in wanted if _alone(c)]
    if alone:
        names = ", ".join(f"{c.name} (network_mode {c.network_mode})" for c in alone)
        message = f"spec.members: {names} can't be attached to any network; remove the label or the network_mode"
        return (_finding(Reason.MEMBER_REFUSED, message),)
    if not wanted:
        labels = desired.resource.spec.members.match_labels.items()
        said = ", ".join(f"{key}={value}" for key, value in sorted(labels))
        return (_finding(Reason.NO_MEMBER, f"spec.members: no running container is labelled {said}"),)
    return ()


def _finding(reason: Reason, message: str) -> Finding:
    return Finding(ConditionType.NETWORK_READY, reason, message, blocks=False, unknown=True)


def _alone(container: Container) -> bool:
    return container.network_mode in _ALONE or container.network_mode.startswith("container:")


def _attachment(container: Container, observed: Observed) -> Attachment:
    """How a member is attached.

    It answers to its Compose service's name here too. With a gateway priority below the others' (engine >= 28) names
    go on to be looked up in the stack's own network first, which has IPv4 alone: nothing changes between its services.
    Both default routes go by a network that has IPv4 and IPv6 all the same, on 20.10 as on 28.5 (measured); only where
    ours has no IPv4 the IPv4 one stays.
    """
    service = container.labels.get(COMPOSE_SERVICE)
    newer = observed.engine is not None and observed.engine.release >= GATEWAY_PRIORITY_SINCE
    return Attachment(
        container_id=container.id,
        container_name=container.name,
        running=True,
        aliases=(service,) if service else (),
        gw_priority=-1 if newer else 0,
    )
