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
from dockerv6.lib.networking import MAX_INTERFACE_NAME, EgressMode

_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*", re.ASCII
)
_DOCKER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)

_NEVER: Final = frozenset({"host", "none", "default"})
_PREDEFINED: Final = _NEVER | {"bridge"}
"""Names that the engine keeps for itself: moby, daemon/network, isPreDefined()."""


class ManagementPolicy(StrEnum):
    """Whose the Docker network is."""

    MANAGE = "Manage"
    OBSERVE = "Observe"


class DeletionPolicy(StrEnum):
    """What becomes of the Docker network when its resource goes."""

    DELETE = "Delete"
    ORPHAN = "Orphan"


class UpdateStrategy(StrEnum):
    """When a Docker network, which can't be edited, is made anew."""

    WHEN_IDLE = "WhenIdle"
    RECREATE = "Recreate"
    NEVER = "Never"


def _host(name: str) -> str:
    if not _HOST.fullmatch(name):
        raise invalid_value(f"{name!r} can't be a host's name (RFC 1123)", "write it as `hostname` prints it")
    return name


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


class IPv6NetworkSpec(Model):
    """What the network shall be. Every field has a default; an empty spec gives a ULA /64 with NAT66."""

    suspend: Flag = Field(False, description="`true`: leave everything as it is and only report. Default: `false`.")
    management_policy: ManagementPolicy = Field(
        ManagementPolicy.MANAGE,
        description="`Manage`: dockerv6 creates, changes and deletes the Docker network. `Observe`: it is somebody "
        "else's (Compose's, "
        "`docker network create`'s, the default `bridge`): dockerv6 gives it NAT, ports, firewall and NDP, and never "
        "creates, changes or "
        "deletes it. Default: `Manage`.",
    )
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy.DELETE,
        description="What happens when the resource goes. `Delete`: the Docker network goes too, once no container "
        "is attached. `Orphan`: "
        "rules and ownership go, the Docker network stays. Default: `Delete`.",
    )
    update_strategy: UpdateStrategy = Field(
        UpdateStrategy.WHEN_IDLE,
        description="Docker networks can't be edited. `WhenIdle`: made anew when no running container is attached. "
        "`Recreate`: made anew at "
        "once; containers are detached and attached again with their aliases and addresses, of which the suffix stays "
        "when the prefix changes. `Never`: only reported. Default: `WhenIdle`.",
    )
    network_name: str | None = Field(
        None,
        description="Name of the Docker network. Default: the resource's name.",
        json_schema_extra={"minLength": 1},
    )
    driver: Driver = Field(
        Driver.BRIDGE, description="The engine's network driver: `bridge`, `macvlan` or `ipvlan`. Default: `bridge`."
    )
    options: Mapping[str, str] = Field(
        default_factory=dict,
        description="Raw driver options, as `docker network create --opt` takes them, for what has no field here. "
        "One that the driver would "
        "silently ignore is refused. Default: none.",
    )
    labels: Mapping[DockerKey, str] = Field(
        default_factory=dict,
        description=f"More labels of the Docker network. Keys under `{GROUP}/` are dockerv6's own. Default: none.",
    )
    internal: Flag = Field(False, description="`true`: no way out of the network and none in. Default: `false`.")
    attachable: Flag = Field(
        False,
        description="Whether containers may be attached by hand to a Swarm-scoped network; without meaning for local "
        "ones. Default: `false`.",
    )
    addressing: Addressing = Field(
        default_factory=shared_default(Addressing),
        description="The IPv6 subnet. Default: allocated from the pool `default`.",
    )
    ipv4: IPv4 = Field(
        default_factory=shared_default(IPv4), description="The IPv4 side. Default: on, the engine chooses the subnet."
    )
    bridge: Bridge = Field(
        default_factory=shared_default(Bridge), description="The host's bridge interface; only with driver `bridge`."
    )
    egress: Egress = Field(
        default_factory=shared_default(Egress), description="How packets leave the network. Default: NAT66."
    )
    publish: Publish = Field(
        default_factory=shared_default(Publish), description="Ports that can be reached through the host's addresses."
    )
    firewall: Firewall = Field(default_factory=shared_default(Firewall), description="Who may reach the containers.")
    ndp_proxy: NdpProxy = Field(
        default_factory=shared_default(NdpProxy),
        description="Answers to neighbour solicitations for an on-link prefix. Default: off.",
    )
    members: Members = Field(
        default_factory=shared_default(Members),
        description="Containers to attach because of their labels. Default: none.",
    )
    hosts: Hosts = Field(
        default_factory=shared_default(Hosts), description="Hosts of a fleet that the resource is for. Default: all."
    )

    def field_errors(self) -> Iterator[FieldError]:
        """What is wrong between the blocks."""
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
                f"nothing leaves an internal network, so {self.egress.mode} has no effect",
                "write mode: None, or remove internal",
            )
        for error in self.egress.subnet_errors(self.addressing.subnet):
            yield error.under("egress")
        if self.driver is Driver.BRIDGE:
            yield from ndp_proxy_errors(self.egress, self.ndp_proxy)

    def _observe_errors(self) -> Iterator[FieldError]:
        why = "it only matters when a network is created, and with managementPolicy: Observe dockerv6 never creates it"
        for name in ("driver", "options", "labels", "internal", "attachable", "addressing", "ipv4", "bridge"):
            if name not in self.model_fields_set:
                continue
            value = getattr(self, name)
            inner = sorted(value.model_fields_set) if isinstance(value, Model) else []
            for path in (
                [(camel(name), camel(field)) for field in inner] if isinstance(value, Model) else [(camel(name),)]
            ):
                yield FieldError(path, why, "remove it, or write managementPolicy: Manage")
        if "update_strategy" in self.model_fields_set and self.update_strategy is not UpdateStrategy.NEVER:
            yield FieldError(
                ("updateStrategy",), "with managementPolicy: Observe dockerv6 never changes the network", "remove it"
            )
        if "deletion_policy" in self.model_fields_set and self.deletion_policy is not DeletionPolicy.ORPHAN:
            yield FieldError(
                ("deletionPolicy",), "with managementPolicy: Observe dockerv6 never deletes the network", "remove it"
            )

    def _driver_errors(self) -> Iterator[FieldError]:
        """What makes no sense on a network that is no bridge's."""
        for field in sorted(self.bridge.model_fields_set):
            yield FieldError(
                ("bridge", camel(field)), f"driver {self.driver} has no bridge", "remove it, or write driver: bridge"
            )
        layer3 = self.driver is Driver.IPVLAN and self.options.get(IPVLAN_MODE) in LAYER_3_MODES
        if self.management_policy is not ManagementPolicy.OBSERVE:
            for error in parent_errors(self.options, self.driver, internal=self.internal):
                yield error.under("options")
            yield from self._gateway_errors(layer3=layer3)
        yield from self.errors_on_driver(self.driver, layer3=layer3)

    def _gateway_errors(self, *, layer3: bool) -> Iterator[FieldError]:
        if self.internal:
            why = f"nothing leaves an internal network, so the engine gives containers on {self.driver} no gateway"
        elif layer3:
            why = f"in ipvlan_mode {self.options[IPVLAN_MODE]} containers send everything to the host, which routes it"
        else:
            return
        for block, gateway in (("addressing", self.addressing.gateway), ("ipv4", self.ipv4.gateway)):
            if gateway is not None:
                yield FieldError((block, "gateway"), why, "remove it")

    def errors_on_driver(self, driver: Driver, *, layer3: bool) -> Iterator[FieldError]:
        """What is asked of the host, and can't be had on a driver whose packets pass it by; paths start here.

        Only what was written counts, never a default: ``egress.mode`` is then as good as None.

        Args:
            driver: macvlan or ipvlan. Not the spec's own where the network is somebody else's.
            layer3: ipvlan's modes l3 and l3s.
        """
        past = f"packets of {driver} networks do not pass the host's bridge and dockerv6's rules"
        own = "the containers can be reached at their own addresses"
        yield from self._egress_errors(past)
        written = self.publish.model_fields_set
        if self.publish.ports:
            yield FieldError(("publish", "ports"), past, f"remove them: {own}")
        if self.publish.from_containers and "from_containers" in written:
            yield FieldError(("publish", "fromContainers"), past, f"remove it: {own}")
        if "host_address" in written:
            yield FieldError(("publish", "hostAddress"), past, f"remove it: {own}")
        if self.firewall.ingress:
            yield FieldError(("firewall", "ingress"), past, "remove it, or write driver: bridge")
        if self.firewall.isolation and "isolation" in self.firewall.model_fields_set:
            yield FieldError(("firewall", "isolation"), past, "remove it, or write driver: bridge")
        if self.ndp_proxy.enabled and layer3:
            yield FieldError(
                ("ndpProxy", "enabled"),
                "in ipvlan's modes l3 and l3s nobody is asked for addresses: the subnet is routed to this host",
                "remove it, or write driver: bridge with egress.mode: Routed",
            )
        elif self.ndp_proxy.enabled:
            yield FieldError(
                ("ndpProxy", "enabled"),
                f"containers on {driver} answer neighbour solicitations themselves",
                "remove it",
            )

    def _egress_errors(self, past: str) -> Iterator[FieldError]:
        written = self.egress.model_fields_set
        if "mode" not in written:
            for field in ("interfaces", "exclude"):
                if getattr(self.egress, field):
                    yield FieldError(("egress", field), past, "remove it, or write driver: bridge")
        elif self.egress.mode is EgressMode.ROUTED:
            yield FieldError(
                ("egress", "mode"),
                f"{past}, so there is nothing to let through: containers use their own addresses as it is",
                "remove it, or write mode: None",
            )
        elif self.egress.mode is not EgressMode.NONE:
            yield FieldError(("egress", "mode"), past, "write mode: None, or driver: bridge")

    def _label_errors(self) -> Iterator[FieldError]:
        for key in self.labels:
            if key == GROUP or key.startswith(f"{GROUP}/"):
                yield FieldError(
                    ("labels", key),
                    f"labels under {GROUP}/ are how dockerv6 knows its own networks",
                    "choose another key",
                )


class IPv6Network(Model):
    """A Docker network with working IPv6."""

    kind: ClassVar[str] = NETWORK

    metadata: ObjectMeta = Field(description="What identifies the resource.")
    spec: IPv6NetworkSpec = Field(
        default_factory=shared_default(IPv6NetworkSpec), description="What the network shall be."
    )

    @property
    def docker_name(self) -> str:
        """The Docker network's name."""
        return self.spec.network_name if self.spec.network_name is not None else self.metadata.name

    @property
    def bridge_name(self) -> str:
        """The name of the bridge interface: chosen here, so that its rules are in place before the network exists."""
        if self.spec.bridge.name:
            return self.spec.bridge.name
        plain = f"v6-{self.metadata.name}"
        if len(plain.encode()) <= MAX_INTERFACE_NAME:
            return plain
        digest = hashlib.sha256(self.metadata.name.encode()).hexdigest()
        return f"v6-{self.metadata.name[:6].rstrip('-.')}-{digest[:5]}"

    @property
    def observed(self) -> bool:
        """Whether the Docker network is somebody else's."""
        return self.spec.management_policy is ManagementPolicy.OBSERVE

    def unsupported_fields(self) -> tuple[FieldPath, ...]:
        """Fields that are set and that this version does not support. dockerv6 does not act on such a resource."""
        return tuple(
            ("spec", "hosts", camel(name)) for name in ("match_names", "match_labels") if getattr(self.spec.hosts, name)
        )

    def field_errors(self) -> Iterator[FieldError]:
        """The Docker network's name, which may come from either part."""
        name = self.docker_name
        path = ("spec", "networkName") if self.spec.network_name is not None else ("metadata", "name")
        if name in _NEVER:
            yield FieldError(path, f"{name!r} is the engine's own, and no network of containers", "choose another name")
        elif name in _PREDEFINED and not self.observed:
            yield FieldError(
                path,
                f"{name!r} is the engine's own",
                "write managementPolicy: Observe to look after it, or choose another networkName",
            )
        elif not name.strip():
            yield FieldError(path, "a Docker network's name can't be empty", "write a name, or remove networkName")
        elif not self.observed and not _DOCKER_NAME.fullmatch(name):
            mended = re.sub(r"[^a-zA-Z0-9_.-]+", "-", name).lstrip("_.-")
            yield FieldError(
                path,
                f"{name!r} can't be a Docker network's name: letters, digits, '_', '.' and '-', beginning with a "
                f"letter or digit",
                f"did you mean {mended}?" if mended else "choose another name",
            )
