"""How a resource points at containers, hosts and Docker networks."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from dockerv6.api.errors import FieldError
from dockerv6.api.meta import Model, refusal
from dockerv6.api.values import Prefix6

_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*", re.ASCII
)
_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)


class Driver(StrEnum):
    """The engine's network drivers that dockerv6 knows."""

    BRIDGE = "bridge"
    MACVLAN = "macvlan"
    IPVLAN = "ipvlan"


def _key(key: str) -> str:
    if not key.strip():
        raise refusal("a label's key can't be empty", "write the key, such as com.docker.compose.project")
    return key


def _container(name: str) -> str:
    if not _CONTAINER.fullmatch(name):
        raise refusal(
            f"{name!r} can't be a container's name: two or more of letters, digits, '_', '.' and '-', beginning with "
            f"a letter or digit",
            "`docker ps` shows the names",
        )
    return name


def _host(name: str) -> str:
    if not _HOST.fullmatch(name):
        raise refusal(f"{name!r} can't be a host's name (RFC 1123)", "write it as `hostname` prints it")
    return name


DockerKey = Annotated[str, AfterValidator(_key)]
"""The key of a Docker label: any text."""

ContainerName = Annotated[str, AfterValidator(_container)]


class ContainerSelector(Model):
    """Which containers of a network: one by its name, or all that carry the labels."""

    name: ContainerName | None = Field(None, description="The container with exactly this name.")
    match_labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description="Containers that carry all of these Docker labels with these values, such as "
        "`com.docker.compose.service: web`.",
    )

    def findings(self) -> Iterator[FieldError]:
        """One way to choose, not both and not neither."""
        if self.name is not None and self.match_labels:
            yield FieldError(("name",), "name and matchLabels exclude one another", "keep one of them")
        if self.name is None and not self.match_labels:
            yield FieldError((), "selects no container", "give name or matchLabels")


class Members(Model):
    """Running containers that are attached to the network because of their labels."""

    match_labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description="Running containers that carry all of these Docker labels are attached to the network, and "
        "detached when they no "
        "longer match, so that an IPv4-only Compose stack gets IPv6 with no edit to it. Default: none is attached.",
    )


class Hosts(Model):
    """Which hosts of a fleet a resource is for. A host must satisfy both lists; empty lists mean every host."""

    match_names: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(
        (), description="Names of hosts, as `hostname` prints them. Default: any."
    )
    match_labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description="Labels that a host's operator must have been started with. Default: none is needed.",
    )


class NetworkSelector(Model):
    """Which Docker networks a policy is for. A network must satisfy every criterion that is written."""

    match_labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description="Docker networks that carry all of these labels with these values. Default: any.",
    )
    names: tuple[str, ...] = Field((), description="Docker networks with one of these names. Default: any.")
    prefixes: tuple[Prefix6, ...] = Field(
        (),
        description="Docker networks with an IPv6 subnet inside one of these prefixes, such as `fc00::/7` (all "
        "unique local addresses). "
        "Default: any.",
    )
    drivers: tuple[Driver, ...] = Field((), description="Docker networks of one of these drivers. Default: any.")

    def findings(self) -> Iterator[FieldError]:
        """Names that nothing can have."""
        for index, name in enumerate(self.names):
            if not name.strip():
                yield FieldError(("names", index), "a Docker network's name can't be empty", "remove it")
