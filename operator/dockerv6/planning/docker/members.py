"""The members of a network: running containers that are attached because of the labels set at their creation.

The labels are those of ``spec.members``, or `NETWORK_LABEL` with the name of the resource.

Only our own attachments are undone. Each is recorded before it is made (`steps.AttachMember`).
"""

from collections.abc import Collection, Iterable, Mapping

from dockerv6.api.conditions import ConditionType, Reason
from dockerv6.api.errors import either_of
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.dockerd.model import COMPOSE_PROJECT, COMPOSE_SERVICE, Attachment, Container, Network, NetworkSpec
from dockerv6.planning.firewall.port_claims import has_labels, may_have_labels, possible_labels, unproven_labels
from dockerv6.planning.inputs import NETWORK_LABEL, Desired, Observed
from dockerv6.planning.plan import Finding
from dockerv6.planning.steps import AttachMember, DetachMember

GATEWAY_PRIORITY_SINCE = (28, 0)
_NETWORK_MODES_WITHOUT_NETWORKS = ("host", "none")
_OF_COMPOSE = "com.docker.compose."
"""Begins the labels that Compose sets on all containers of a project or service, and no person."""
_SHARED = "container:"
"""Begins the network mode of a container that shares the network namespace of the one whose id follows."""


def is_member(resource: NetworkResource, labels: Mapping[str, str]) -> bool:
    """Whether a container with these labels is a member."""
    members = resource.spec.members
    named = members.allow_label and labels.get(NETWORK_LABEL) == resource.metadata.name
    allowed = members.allowed_compose_projects
    return (named or has_labels(labels, members.match_labels)) and (
        not allowed or labels.get(COMPOSE_PROJECT) in allowed
    )


def matching_members(desired: Desired, containers: Iterable[Container]) -> tuple[Container, ...]:
    """The running containers that are members, by name."""
    return tuple(sorted((c for c in containers if is_member(desired.resource, c.labels)), key=lambda c: (c.name, c.id)))


def attach_members(desired: Desired, observed: Observed, network: Network | NetworkSpec) -> tuple[AttachMember, ...]:
    """Attach the members that are not attached yet."""
    attached = {a.container_id for a in (*observed.attachments, *observed.remembered)}
    members = matching_members(desired, observed.containers)
    wanted = desired.resource.spec.members.match_labels
    # beside `match_labels`, `NETWORK_LABEL` gives no alias: one that they select may start later and have the name
    named = {c.id for c in members if not wanted or has_labels(c.labels, wanted)}
    projects = _projects(c for c in members if c.id in named)
    return tuple(
        AttachMember(
            desired.name, network.name, _attachment(container, projects if container.id in named else (), observed)
        )
        for container in members
        if container.id not in attached and has_networks(container)
    )


def detach_members(desired: Desired, observed: Observed, live: Network) -> tuple[DetachMember, ...]:
    """Detach running containers that we attached and that are no members.

    Those of stopped containers are unknown, and their origin is unknown if the image can't be inspected.
    """
    members = {c.id for c in observed.containers if is_member(desired.resource, possible_labels(c))}
    running = {c.id for c in observed.containers}
    return tuple(
        DetachMember(desired.name, live.id, each, "it no longer matches spec.members")
        for each in observed.attachments
        if each.container_id in observed.members and each.container_id in running and each.container_id not in members
    )


def release_members(desired: Desired, observed: Observed, live: Network) -> tuple[DetachMember, ...]:
    """Detach all that we attached. A stopped container could not start after the network is removed."""
    return tuple(
        DetachMember(desired.name, live.id, each, "the resource is deleted")
        for each in observed.attachments
        if each.container_id in observed.members
    )


def member_findings(desired: Desired, observed: Observed) -> tuple[Finding, ...]:
    """Members by ``matchLabels`` that can't be attached, or that there are none. For the others see `labels`."""
    wanted = desired.resource.spec.members.match_labels
    if not wanted or observed.engine is None:
        return ()
    by_id = {c.id: c for c in observed.containers}
    labelled = [c for c in matching_members(desired, observed.containers) if has_labels(c.labels, wanted)]
    members = labelled
    if all(key.startswith(_OF_COMPOSE) for key in wanted):  # a selector of a project does not mean those
        members = [c for c in labelled if _network_mode(c, by_id) not in _NETWORK_MODES_WITHOUT_NETWORKS]
    attached = {a.container_id for a in observed.attachments}
    excluded = ["; ".join(why) for c in members if (why := exclusion(c, desired.resource, by_id, attached))]
    if excluded:
        return (_finding(Reason.MEMBER_REFUSED, f"spec.members: {'; '.join(excluded)}"),)
    unproven = unproven_labels(observed.containers, wanted)
    if any(c.image_problem for c in observed.containers if may_have_labels(c, wanted)):
        return (_finding(Reason.MEMBER_REFUSED, f"spec.members: {unproven}"),)
    if not members:
        listed = ", ".join(f"{key}={value}" for key, value in sorted(wanted.items()))
        if allowed := desired.resource.spec.members.allowed_compose_projects:
            listed += f" and of the Compose project {either_of(allowed)}"
        if labelled:
            listed += ", apart from those with network_mode host or none"
        remedy = unproven or "add the labels to a container, or correct spec.members"
        return (_finding(Reason.NO_MEMBER, f"spec.members: no running container is labelled {listed}; {remedy}"),)
    return ()


def _finding(reason: Reason, message: str) -> Finding:
    return Finding(ConditionType.NETWORK_READY, reason, message, blocks=False, unknown=True)


def has_networks(container: Container) -> bool:
    """Whether it can be attached to networks."""
    mode = container.network_mode
    return mode not in _NETWORK_MODES_WITHOUT_NETWORKS and not mode.startswith(_SHARED)


def _network_mode(container: Container, containers: Mapping[str, Container]) -> str:
    """The network mode of the container, or of the one whose network namespace it shares."""
    owner = containers.get(container.network_mode.removeprefix(_SHARED))
    return (owner or container).network_mode


def exclusion(
    container: Container,
    resource: NetworkResource,
    containers: Mapping[str, Container],
    attached: Collection[str] = (),
) -> tuple[str, str] | None:
    """Why a member can't get an address of the network, and the remedy; None: it has an address, or gets one.

    A container that shares the network namespace of another one (Compose: ``network_mode: service:vpn``) has the same
    addresses as that container.

    Args:
        container: the member.
        resource: the network.
        containers: all running ones, by id.
        attached: ids of containers that are attached, beside those whose endpoints say so.
    """
    id_ = container.network_mode.removeprefix(_SHARED)
    if has_networks(container) or id_ in attached:
        return None
    if not container.network_mode.startswith(_SHARED):
        why = f"{container.name} (network_mode {container.network_mode}) can't be attached to any network"
        return why, "remove the label, or change network_mode"
    owner = containers.get(id_)
    if owner is None:
        why = f"{container.name} shares the network of container {id_[:12]}, which is not running"
        return why, "start that container"
    why = f"{container.name} shares the network of container {owner.name}, which"
    if not has_networks(owner):
        why = f"{why} (network_mode {owner.network_mode}) can't be attached to any network"
        return why, "remove the label, or change one network_mode"
    if is_member(resource, owner.labels) or any(end.network_name == resource.docker_name for end in owner.endpoints):
        return None
    label = f"{NETWORK_LABEL}={resource.metadata.name}"
    remedy = f"set the label {label} on {owner.name}, or remove the label from {container.name}"
    return f"{why} is not a member", remedy


def _projects(containers: Iterable[Container]) -> set[str]:
    return {each.labels[COMPOSE_PROJECT] for each in containers if COMPOSE_PROJECT in each.labels}


def _attachment(container: Container, projects: Collection[str], observed: Observed) -> Attachment:
    """How a member is attached, where those that get an alias are of these Compose projects.

    It gets its Compose service's name as an alias, unless they are of several Compose projects: one project must not
    take a name of another one. The gateway priority is below that of the other networks (engine >=
    28), so that names are still looked up in the stack's own, IPv4-only network first, and nothing changes between its
    services. If our network has IPv4 and IPv6, both default routes go through it nevertheless, on 20.10 and on 28.5
    (measured). If it has no IPv4, the IPv4 default route stays.
    """
    service = container.labels.get(COMPOSE_SERVICE)
    named = service is not None and projects == {container.labels.get(COMPOSE_PROJECT)}
    newer = observed.engine is not None and observed.engine.release >= GATEWAY_PRIORITY_SINCE
    return Attachment(
        container_id=container.id,
        container_name=container.name,
        running=True,
        aliases=(service,) if service and named else (),
        gw_priority=-1 if newer else 0,
    )
