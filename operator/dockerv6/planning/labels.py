"""Labels of dockerv6 on Docker networks and containers that have no effect, and why. None is ignored silently.

Labels that have an effect are evaluated elsewhere: `policy.assign_networks`, `docker.members`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice

from dockerv6.api.errors import closest_match, either_of
from dockerv6.api.meta import name_problem
from dockerv6.api.network import IPv6Network as NetworkResource
from dockerv6.api.network import IPv6NetworkSpec
from dockerv6.api.policy import IPv6Policy, IPv6PolicySpec
from dockerv6.api.values import quote
from dockerv6.dockerd.model import COMPOSE_PROJECT, PROBE_LABEL, Container, Network
from dockerv6.planning.docker.members import exclusion, is_member
from dockerv6.planning.inputs import MANAGED_BY, NAME_LABEL, NETWORK_LABEL, OWN_LABELS, POLICY_LABEL, Identity
from dockerv6.planning.policy import PolicyAssignment, eligible, why_not

_OURS = re.compile(r"\s*(?:io\.)?docker-?v?6(?:\.io)?\s*(?:[/.:]|$)", re.IGNORECASE)
"""Keys that are meant for dockerv6, also misspelled ones."""

_LONGEST_NAME = 64  # characters of a value that a message has; a name has fewer
_SHOWN = 5  # Compose projects that a message names

MAX_REPORTED = 50
"""The maximum number of messages, because other people choose how many labels there are."""

MORE = "Docker networks and containers have more labels without effect than those that are reported"

_Labels = frozenset[tuple[str, str]]
"""Keys with values."""

_Cause = tuple[str, str] | None
"""Why a label has no effect, and the remedy; None: it has one."""


@dataclass(frozen=True, slots=True)
class LabelInputs:
    """What labels may refer to."""

    resources: Mapping[str, NetworkResource]  # by name
    policies: Mapping[str, IPv6Policy]  # by name
    assignment: PolicyAssignment  # of the policies that are in effect
    identity: Identity

    def selecting_networks(self) -> _Labels:
        """The labels of Docker networks that selectors have: they have an effect, whatever their key is."""
        return _pairs(each.spec.selector.match_labels for each in self.policies.values())

    def selecting_containers(self) -> _Labels:
        """The same of containers."""
        specs: list[IPv6NetworkSpec | IPv6PolicySpec] = [each.spec for each in self.resources.values()]
        specs += [each.spec for each in self.policies.values()]
        wanted = [each.spec.members.match_labels for each in self.resources.values()]
        wanted += [port.containers.match_labels for spec in specs for port in spec.publish.ports]
        wanted += [rule.containers.match_labels for spec in specs for rule in spec.firewall.ingress if rule.containers]
        return _pairs(wanted)


def _pairs(wanted: Iterable[Mapping[str, str]]) -> _Labels:
    return frozenset(pair for labels in wanted for pair in labels.items())


def claimed_networks(containers: Iterable[Container]) -> frozenset[tuple[str, str]]:
    """The IPv6Networks that labels of running containers name, each with the id of the container."""
    return frozenset((each.labels[NETWORK_LABEL], each.id) for each in containers if NETWORK_LABEL in each.labels)


def ignored_labels(networks: Iterable[Network], containers: Iterable[Container], inputs: LabelInputs) -> Iterator[str]:
    """The labels without an effect, each with the cause and the remedy; at most `MAX_REPORTED`, then `MORE`.

    Only these are computed: the names of 400 resources are compared with a misspelled one for up to 20 ms.
    """
    found = chain(_of_networks(networks, inputs), _of_containers(containers, inputs))
    yield from islice(found, MAX_REPORTED)
    if next(found, None) is not None:
        yield MORE


def _of_networks(networks: Iterable[Network], inputs: LabelInputs) -> Iterator[str]:
    selected = inputs.selecting_networks()
    for network in sorted(networks, key=lambda each: (each.name, each.id)):
        made = MANAGED_BY in network.labels and NAME_LABEL in network.labels  # forged ones are kept, see `garbage`
        if made and not inputs.identity.labelled(network):
            continue  # by another installation, perhaps a newer one
        for key, value in network.labels.items():
            if not _OURS.match(key) or (made and key in OWN_LABELS):
                continue
            if key == POLICY_LABEL:
                cause = _policy_cause(value, network, inputs.assignment)
            elif (key, value) in selected:
                continue
            elif key == NETWORK_LABEL:
                cause = "it is for containers", f"use {POLICY_LABEL} for a network, or an IPv6Network that observes it"
            else:
                cause = _key_cause(key, POLICY_LABEL)
            yield from _message(f"Docker network {network.name}", key, value, cause)


def _of_containers(containers: Iterable[Container], inputs: LabelInputs) -> Iterator[str]:
    selected, by_id = inputs.selecting_containers(), {each.id: each for each in containers}
    for container in sorted(by_id.values(), key=lambda each: (each.name, each.id)):
        for key, value in {**container.image_labels, **container.labels}.items():
            if not _OURS.match(key) or key == PROBE_LABEL:
                continue
            in_use = (key, value) in selected and not (key == NETWORK_LABEL and value in inputs.resources)
            if in_use and key in container.labels:
                continue
            if key == POLICY_LABEL:
                cause: _Cause = "it is for Docker networks", f"use {NETWORK_LABEL} for a container"
            elif key != NETWORK_LABEL and not in_use:
                cause = _key_cause(key, NETWORK_LABEL)
            elif key in container.labels:
                cause = _network_cause(value, container, by_id, inputs.resources)
            elif container.image_problem:
                why = f"the image can't be inspected, so the label may come from it ({container.image_problem})"
                cause = why, "pull the image and create the container again"
            else:
                cause = "it comes from the image", "remove it from the image, and set it when you create the container"
            yield from _message(f"container {container.name}", key, value, cause)


def _message(where: str, key: str, value: str, cause: _Cause) -> Iterator[str]:
    if cause is not None:
        why, remedy = cause
        label = quote(f"{key[:_LONGEST_NAME]}={value[:_LONGEST_NAME]}")  # it has up to 60 of these characters
        yield f"{where}: label {label} has no effect: {why}; {remedy}"


def _key_cause(key: str, expected: str) -> _Cause:
    if key in OWN_LABELS:
        return "only dockerv6 sets it, on the networks that it creates", "remove it"
    _, _, word = expected.partition("/")
    similar = closest_match(re.split("[/.:]", key[:_LONGEST_NAME])[-1], [word]) is not None
    remedy = f"did you mean {expected}?" if similar else f"remove it; the only label for this is {expected}"
    return "dockerv6 knows no such label", remedy


def _name_cause(name: str) -> _Cause:
    """Why a value is not the name of a resource."""
    name = name[:_LONGEST_NAME]
    if re.search(r"[\s,;]", name.strip()):
        return f"{quote(name)} is not a name", "write the name of one resource"
    return name_problem(name)


def _policy_cause(name: str, network: Network, assignment: PolicyAssignment) -> _Cause:
    if problem := _name_cause(name):
        return problem
    if name not in assignment.networks:
        return f"no IPv6Policy {name} is in effect", _suggestion(name, tuple(assignment.networks))
    if any(each.id == network.id for each in assignment.networks[name]):
        return None
    if not eligible(network):
        return f"the network {why_not(network)}", "no policy applies to such a network"
    if owner := assignment.claimed_by[name].get(network.name):
        return f"{owner} observes the network", "remove the label, or that resource"
    return (
        f"spec.selector of IPv6Policy {name} does not match the network",
        f"extend the selector; to match the networks that choose it, use matchLabels: {{{POLICY_LABEL}: {name}}}",
    )


def _network_cause(
    name: str, container: Container, containers: Mapping[str, Container], resources: Mapping[str, NetworkResource]
) -> _Cause:
    if name not in resources and (of := next((n for n, r in resources.items() if r.docker_name == name), None)):
        return f"{quote(name)} is the Docker network of IPv6Network {of}", f"did you mean {of}?"
    if problem := _name_cause(name):
        return problem
    resource = resources.get(name)
    if resource is None:
        return f"there is no IPv6Network {name}", _suggestion(name, tuple(resources))
    if is_member(resource, container.labels):
        return exclusion(container, resource, containers)
    allowed = resource.spec.members.allowed_compose_projects
    if not resource.spec.members.allow_label:
        return f"IPv6Network {name} does not allow it", "set spec.members.allowLabel: true in that resource"
    shown = (*allowed[:_SHOWN], *(("others",) if len(allowed) > _SHOWN else ()))
    why = f"IPv6Network {name} allows only the Compose project {either_of(shown)}"
    if (project := container.labels.get(COMPOSE_PROJECT)) is not None:
        remedy = f"add {quote(project)} to spec.members.allowedComposeProjects of that resource"
    else:
        remedy = "start the container with Compose, or remove the label"
    return why, remedy


@lru_cache(maxsize=2 * MAX_REPORTED)  # so that the same labels are compared only once
def _suggestion(name: str, known: tuple[str, ...]) -> str:
    match = closest_match(name, known)
    return f"did you mean {match}?" if match else "create that resource, or remove the label"
