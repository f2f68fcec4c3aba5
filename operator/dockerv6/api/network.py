"""The IPv6Network: a Docker network with working IPv6."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from dockerv6.api.addressing import Addressing, Bridge, IPv4
from dockerv6.api.errors import FieldError, FieldPath
from dockerv6.api.kinds import GROUP, NETWORK
from dockerv6.api.meta import DockerKey, Model, ObjectMeta, camel, invalid_value, shared_default
from dockerv6.api.options import IPVLAN_MODE, LAYER_3_MODES, Driver, option_errors, parent_errors
from dockerv6.api.traffic import Egress, Firewall, NdpProxy, Publish, ndp_proxy_errors
from dockerv6.api.values import Flag
from dockerv6.lib.networking import MAX_INTERFACE_NAME, EgressMode, InterfaceName

_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*", re.ASCII
)
_DOCKER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)
_COMPOSE_PROJECT = re.compile(r"[a-z0-9][-_a-z0-9]*", re.ASCII)

MAX_PROJECTS = 1000
"""Entries of `allowedComposeProjects`."""

_RESERVED: Final = frozenset({"host", "none", "default"})
_PREDEFINED: Final = _RESERVED | {"bridge"}
"""Names that the engine reserves: moby, daemon/network, isPreDefined()."""


class ManagementPolicy(StrEnum):
    """Whether dockerv6 manages the Docker network."""

    MANAGE = "Manage"
    OBSERVE = "Observe"


class DeletionPolicy(StrEnum):
    """What happens to the Docker network when its resource is deleted."""

    DELETE = "Delete"
    ORPHAN = "Orphan"


class UpdateStrategy(StrEnum):
    """When a Docker network is recreated to apply a change: Docker networks can't be edited."""

    WHEN_IDLE = "WhenIdle"
    RECREATE = "Recreate"
    NEVER = "Never"


def _host(name: str) -> str:
    if not _HOST.fullmatch(name):
        raise invalid_value(f"{name!r} is not a valid host name (RFC 1123)", "write it as `hostname` prints it")
    return name


def _compose_project(name: str) -> str:
    if not _COMPOSE_PROJECT.fullmatch(name):
        suggestion = re.sub(r"[^-_a-z0-9]", "", name.lower()).lstrip("_-")
        raise invalid_value(
            f"{name!r} is not a name of a Compose project: use lower-case letters, digits, '-' and '_', and start with"
            " a letter or digit",
            f"did you mean {suggestion}?" if suggestion else "write it as `docker compose ls` prints it",
        )
    return name


class Members(Model):
    """Containers that are attached to the network because of their labels."""

    match_labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description="Running containers that have all of these Docker labels are attached to the network, and are "
        "detached when they no longer match. This adds IPv6 to an IPv4-only Compose stack without a change to it. "
        "Labels that come from the image do not count. Default: none.",
    )
    allow_label: Flag = Field(
        True,
        description=f"Whether a running container becomes a member if its Docker label `{GROUP}/network` names this "
        "resource. Everyone who can create containers can set this label. Default: `true`.",
    )
    allowed_compose_projects: tuple[Annotated[str, AfterValidator(_compose_project)], ...] = Field(
        (),
        max_length=MAX_PROJECTS,
        description="Only containers of these Compose projects (label `com.docker.compose.project`) can be members, "
        f"also with `matchLabels`; at most {MAX_PROJECTS} projects. Default: any container.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """A limit needs something that it limits."""
        if self.allowed_compose_projects and not self.match_labels and not self.allow_label:
            yield FieldError(
                ("allowedComposeProjects",),
                "has no effect: without matchLabels and with allowLabel: false, no container is a member",
                "remove it, or write allowLabel: true",
            )


class Hosts(Model):
    """Selects hosts of a fleet. A host must match both fields; empty fields match every host."""

    match_names: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(
        (), description="Names of hosts as printed by `hostname`. Default: any."
    )
    match_labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description="Labels that the operator of a host must have. Default: none.",
    )


class IPv6NetworkSpec(Model):
    """The desired state of the network. Every field has a default: an empty spec gives a ULA /64 with NAT66."""

    suspend: Flag = Field(False, description="`true`: change nothing, only report the status. Default: `false`.")
    management_policy: ManagementPolicy = Field(
        ManagementPolicy.MANAGE,
        description="`Manage`: dockerv6 creates, changes and deletes the Docker network. `Observe`: another program "
        "manages it (Compose, `docker network create`, the engine's default `bridge`); dockerv6 adds NAT, published "
        "ports, filtering and NDP proxy, and never creates, changes or deletes it. Default: `Manage`.",
    )
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy.DELETE,
        description="What happens when the resource is deleted. `Delete`: the Docker network is deleted as soon as no "
        "container is attached. `Orphan`: the rules are removed and the Docker network stays. Default: `Delete`.",
    )
    update_strategy: UpdateStrategy = Field(
        UpdateStrategy.WHEN_IDLE,
        description="How a change is applied that requires a new Docker network. `WhenIdle`: the network is recreated "
        "when no running container is attached. `Recreate`: it is recreated at once; containers are detached and "
        "attached again with their aliases and addresses, which keep their suffix when the prefix changes. `Never`: "
        "the difference is only reported. Default: `WhenIdle`.",
    )
    network_name: str | None = Field(
        None,
        description="Name of the Docker network. Default: the name of the resource.",
        json_schema_extra={"minLength": 1},
    )
    driver: Driver = Field(
        Driver.BRIDGE, description="Network driver of the engine: `bridge`, `macvlan` or `ipvlan`. Default: `bridge`."
    )
    options: Mapping[str, str] = Field(
        default_factory=dict,
        description="Driver options as for `docker network create --opt`, where no field exists for them. Options that "
        "the driver would silently ignore are rejected. Default: none.",
    )
    labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description=f"Additional Docker labels of the network. The prefix `{GROUP}/` is reserved. Default: none.",
    )
    internal: Flag = Field(False, description="`true`: the network has no external connectivity. Default: `false`.")
    attachable: Flag = Field(
        False,
        description="Whether containers may be attached manually to a network of Swarm scope. Has no effect on local "
        "networks. Default: `false`.",
    )
    addressing: Addressing = Field(
        default_factory=shared_default(Addressing),
        description="The IPv6 subnet. Default: allocated from the pool `default`.",
    )
    ipv4: IPv4 = Field(
        default_factory=shared_default(IPv4),
        description="IPv4. Default: enabled, with a subnet that the engine chooses.",
    )
    bridge: Bridge = Field(
        default_factory=shared_default(Bridge),
        description="The bridge interface of the host. Only with driver `bridge`.",
    )
    egress: Egress = Field(
        default_factory=shared_default(Egress), description="Translation of outgoing packets. Default: NAT66."
    )
    publish: Publish = Field(default_factory=shared_default(Publish), description="Published ports.")
    firewall: Firewall = Field(
        default_factory=shared_default(Firewall), description="Filtering of incoming connections."
    )
    ndp_proxy: NdpProxy = Field(
        default_factory=shared_default(NdpProxy),
        description="NDP proxy for an on-link prefix. Default: off.",
    )
    members: Members = Field(
        default_factory=shared_default(Members),
        description="Containers that are attached because of their labels. Default: those that name the resource.",
    )
    hosts: Hosts = Field(
        default_factory=shared_default(Hosts),
        description="Hosts of a fleet that the resource applies to. Not supported yet. Default: all.",
    )

    def field_errors(self) -> Iterator[FieldError]:
        """Errors that concern several blocks."""
        observed = self.management_policy is ManagementPolicy.OBSERVE
        if observed:
            yield from self._observe_errors()
        else:
            for error in option_errors(self.options, self.driver, internal=self.internal):
                yield error.under("options")
        if self.driver is not Driver.BRIDGE:
            yield from self._driver_errors()
        if self.labels:
            yield from self._label_errors()
        if self.internal and "mode" in self.egress.model_fields_set and self.egress.mode is not EgressMode.NONE:
            yield FieldError(
                ("egress", "mode"),
                f"{self.egress.mode} has no effect on an internal network",
                "write mode: None, or remove internal",
            )
        for error in self.egress.subnet_errors(self.addressing.subnet):
            yield error.under("egress")
        if self.driver is Driver.BRIDGE:
            yield from ndp_proxy_errors(self.egress, self.ndp_proxy)

    def _observe_errors(self) -> Iterator[FieldError]:
        message = "has no effect with managementPolicy: Observe: dockerv6 does not create the network"
        for name in ("driver", "options", "labels", "internal", "attachable", "addressing", "ipv4", "bridge"):
            if name not in self.model_fields_set:
                continue
            value = getattr(self, name)
            paths: list[FieldPath] = [(camel(name),)]
            if isinstance(value, Model):
                paths = [(camel(name), camel(field)) for field in sorted(value.model_fields_set)]
            for path in paths:
                yield FieldError(path, message, "remove it, or write managementPolicy: Manage")
        if "update_strategy" in self.model_fields_set and self.update_strategy is not UpdateStrategy.NEVER:
            yield FieldError(
                ("updateStrategy",),
                "has no effect with managementPolicy: Observe: dockerv6 does not change the network",
                "remove it",
            )
        if "deletion_policy" in self.model_fields_set and self.deletion_policy is not DeletionPolicy.ORPHAN:
            yield FieldError(
                ("deletionPolicy",),
                "has no effect with managementPolicy: Observe: dockerv6 does not delete the network",
                "remove it",
            )

    def _driver_errors(self) -> Iterator[FieldError]:
        """Errors with the drivers macvlan and ipvlan."""
        for field in sorted(self.bridge.model_fields_set):
            yield FieldError(
                ("bridge", camel(field)),
                f"has no effect with driver {self.driver}, which has no bridge",
                "remove it, or write driver: bridge",
            )
        layer3 = self.driver is Driver.IPVLAN and self.options.get(IPVLAN_MODE) in LAYER_3_MODES
        if self.management_policy is not ManagementPolicy.OBSERVE:
            for error in parent_errors(self.options, self.driver, internal=self.internal):
                yield error.under("options")
            yield from self._gateway_errors(layer3=layer3)
        yield from self.errors_on_driver(self.driver, layer3=layer3)

    def _gateway_errors(self, *, layer3: bool) -> Iterator[FieldError]:
        if self.internal:
            message = f"has no effect: the engine gives containers of an internal {self.driver} network no gateway"
        elif layer3:
            message = f"has no effect with ipvlan_mode {self.options[IPVLAN_MODE]}: the host routes for the containers"
        else:
            return
        for block, gateway in (("addressing", self.addressing.gateway), ("ipv4", self.ipv4.gateway)):
            if gateway is not None:
                yield FieldError((block, "gateway"), message, "remove it")

    def errors_on_driver(self, driver: Driver, *, layer3: bool) -> Iterator[FieldError]:
        """Fields that have no effect with a driver whose packets bypass the host's rules. Paths start at the spec.

        Only fields that are set count; the default of ``egress.mode`` means None here.

        Args:
            driver: macvlan or ipvlan; of an observed network, that of the Docker network.
            layer3: whether the mode of ipvlan is l3 or l3s.
        """
        bypass = f"packets of {driver} networks bypass the rules of dockerv6"
        reachable = "the containers are reachable at their own addresses"
        yield from self._egress_errors(bypass)
        is_set = self.publish.model_fields_set
        if self.publish.ports:
            yield FieldError(("publish", "ports"), bypass, f"remove it: {reachable}")
        if self.publish.from_containers and "from_containers" in is_set:
            yield FieldError(("publish", "fromContainers"), bypass, f"remove it: {reachable}")
        if "host_address" in is_set:
            yield FieldError(("publish", "hostAddress"), bypass, f"remove it: {reachable}")
        if self.firewall.ingress:
            yield FieldError(("firewall", "ingress"), bypass, "remove it, or write driver: bridge")
        if self.firewall.isolation and "isolation" in self.firewall.model_fields_set:
            yield FieldError(("firewall", "isolation"), bypass, "remove it, or write driver: bridge")
        if self.ndp_proxy.enabled and layer3:
            yield FieldError(
                ("ndpProxy", "enabled"),
                "in the ipvlan modes l3 and l3s the subnet must be routed to this host, without NDP",
                "remove it, or write driver: bridge with egress.mode: Routed",
            )
        elif self.ndp_proxy.enabled:
            yield FieldError(
                ("ndpProxy", "enabled"),
                f"containers on {driver} answer neighbour solicitations themselves",
                "remove it",
            )

    def _egress_errors(self, bypass: str) -> Iterator[FieldError]:
        if "mode" not in self.egress.model_fields_set:
            for field in ("interfaces", "exclude"):
                if getattr(self.egress, field):
                    yield FieldError(("egress", field), bypass, "remove it, or write driver: bridge")
        elif self.egress.mode is EgressMode.ROUTED:
            yield FieldError(
                ("egress", "mode"),
                f"{bypass}, and containers always use their own addresses",
                "remove it, or write mode: None",
            )
        elif self.egress.mode is not EgressMode.NONE:
            yield FieldError(("egress", "mode"), bypass, "write mode: None, or driver: bridge")

    def _label_errors(self) -> Iterator[FieldError]:
        for key in self.labels:
            if key == GROUP or key.startswith(f"{GROUP}/"):
                yield FieldError(
                    ("labels", key),
                    f"labels with the prefix {GROUP}/ are reserved for dockerv6",
                    "choose another key",
                )


class IPv6Network(Model):
    """A Docker network with working IPv6."""

    kind: ClassVar[str] = NETWORK

    metadata: ObjectMeta = Field(description="Name, labels and annotations.")
    spec: IPv6NetworkSpec = Field(default_factory=shared_default(IPv6NetworkSpec), description="The desired state.")

    @property
    def docker_name(self) -> str:
        """The name of the Docker network."""
        return self.spec.network_name if self.spec.network_name is not None else self.metadata.name

    @property
    def bridge_name(self) -> InterfaceName:
        """The name of the bridge interface: chosen here, so that its rules are in place before the network exists."""
        if self.spec.bridge.name:
            return self.spec.bridge.name
        plain = f"v6-{self.metadata.name}"
        if len(plain.encode()) <= MAX_INTERFACE_NAME:
            return InterfaceName(plain)
        digest = hashlib.sha256(self.metadata.name.encode()).hexdigest()
        return InterfaceName(f"v6-{self.metadata.name[:6].rstrip('-.')}-{digest[:5]}")

    @property
    def observed(self) -> bool:
        """Whether another program manages the Docker network."""
        return self.spec.management_policy is ManagementPolicy.OBSERVE

    def unsupported_fields(self) -> tuple[FieldPath, ...]:
        """Fields that are set and that this version does not support. dockerv6 does not act on such a resource."""
        return tuple(
            ("spec", "hosts", camel(name)) for name in ("match_names", "match_labels") if getattr(self.spec.hosts, name)
        )

    def field_errors(self) -> Iterator[FieldError]:
        """Check the name of the Docker network, from spec.networkName or metadata.name."""
        name = self.docker_name
        path = ("spec", "networkName") if self.spec.network_name is not None else ("metadata", "name")
        if name in _RESERVED:
            yield FieldError(path, f"{name!r} is reserved by the engine", "choose another name")
        elif name in _PREDEFINED and not self.observed:
            yield FieldError(
                path,
                f"{name!r} is the engine's default network",
                "write managementPolicy: Observe to use it, or choose another networkName",
            )
        elif not name.strip():
            yield FieldError(path, "the name of a Docker network can't be empty", "write a name, or remove networkName")
        elif not self.observed and not _DOCKER_NAME.fullmatch(name):
            suggestion = re.sub(r"[^a-zA-Z0-9_.-]+", "-", name).lstrip("_.-")
            yield FieldError(
                path,
                f"{name!r} is not a valid name of a Docker network: use letters, digits, '_', '.' and '-', and start "
                f"with a letter or digit",
                f"did you mean {suggestion}?" if suggestion else "choose another name",
            )
